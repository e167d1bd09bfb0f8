"""What the pull request of a proposal says: little that changes by itself, so that it is seldom written anew.

The rules:

1. The first line is a mark with the digest of all that follows, by which the text is known to be the one that
   was written last, whatever a forge or a person made of its lines.
2. What a host could choose forms no markup.
3. It is as long as forges take.
"""

import re
from collections import Counter
from hashlib import sha256

from reconciler.planning.fleet.approving import Terms, body_of, title_of
from reconciler.planning.fleet.waiting import WaitingPlan
from reconciler.planning.text.untrusted import clip
from reconciler.planning.text.wording import minute, plural

_MARK = "<!-- patchledger proposal "
_IS_MARK = re.compile(rf"{_MARK}([0-9a-f]{{64}}) -->")
_LONGEST_TITLE = 200
"""Characters: GitHub and GitLab take 255."""
_MOST_WINDOWS = 5

_KEPT = (
    "This pull request is kept as the plan is: it is brought up to date when that changes, and closed when "
    "the plan was applied or nobody waits for it any more. A push to its branch by anybody else ends that. "
    "To decline the plan, close the pull request and leave its branch.\n"
)


def title_of_proposal(plan: WaitingPlan) -> str:
    """Return what the pull request is called, in one line."""
    return clip(title_of([plan]), _LONGEST_TITLE)


def body_of_proposal(plan: WaitingPlan, terms: Terms) -> str:
    """Return the text of the pull request, in Markdown."""
    ends = f"{terms.expires} {terms.timezone}"
    first = f"Merging this approves exactly this plan, once on each target that has it, until {ends}.\n"
    listed = body_of([plan], terms).rstrip("\n")
    told = "\n".join([first, listed, _windows(plan), _KEPT])
    return f"{_MARK}{_digest(title_of_proposal(plan), told)} -->\n{told}"


def mark_of(body: str) -> str:
    """Return the digest that a text bears, empty where it bears none."""
    found = _IS_MARK.match(body.lstrip())
    return "" if found is None else found[1]


def _windows(plan: WaitingPlan) -> str:
    """Return the windows that targets could meet, the first ones, in a line of the list above it."""
    starts = Counter(minute(start) for one in plan.targets for start in one.windows)
    if not starts:
        return "- Windows ahead: none that a target could meet\n"
    shown = sorted(starts)[:_MOST_WINDOWS]
    more = len(starts) - len(shown)
    told = [f"{start} ({plural(starts[start], 'target')})" for start in shown]
    return f"- Windows ahead: {', '.join(told)}{f' and {more} more' if more else ''}\n"


def _digest(title: str, told: str) -> str:
    return sha256(f"{title}\n{told}".encode()).hexdigest()
