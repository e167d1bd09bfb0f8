"""Which target a person means: this host, or a guest of it by its id, by its name or as ``HOST/GUEST``.

The rules:

1. The host's own id is the host. A guest that has the same id is meant by ``HOST/GUEST``.
2. An id beats a name: who administers a guest chooses its name, and takes no other guest's place by it.
3. A name that several guests have means none of them: all are listed.
"""

from collections.abc import Sequence

from reconciler.errors import Misuse
from reconciler.planning.facts.guests import Guest
from reconciler.planning.text.untrusted import one_line
from reconciler.planning.text.wording import listed
from reconciler.policy.values import nearest

_WIDTH = 80


def meant(written: str, home: str, guests: Sequence[Guest]) -> Guest | None:
    """Return the guest that is meant, ``None`` where the host itself is.

    Args:
        written: By a person.
        home: Id of this host.
        guests: All that there are, also those that are left out.

    Raises:
        Misuse: There is none such, several are called so, or it is a guest of another host.
    """
    if written == home:
        return None
    host, slash, own = written.rpartition("/")
    if slash and host != home:
        shown = one_line(written, _WIDTH)
        raise Misuse(f"{shown} is a guest of another host: this is {home}", "ask there, or leave HOST/ out")
    if not own:
        raise Misuse("the target is empty", "name a guest by its id or name")
    by_id = [guest for guest in guests if guest.id == own]
    found = by_id if by_id or slash else [guest for guest in guests if guest.name == own]
    match found:
        case [one]:
            return one
        case []:
            raise _unknown(own, home, guests, by_name=not slash)
        case _ if by_id:
            kinds = listed([f"{one.kind} {one_line(one.name, _WIDTH)}" for one in found])
            raise Misuse(f"several guests have the id {own}: {kinds}", "give all but one another name")
        case _:
            ids = listed([one.id for one in found], _MOST)
            hint = f"name one by its id, such as {found[0].id}"
            raise Misuse(f"several guests are called {one_line(own, _WIDTH)}: {ids}", hint)


_MOST = 20


def _unknown(written: str, home: str, guests: Sequence[Guest], *, by_name: bool) -> Misuse:
    known = [one.id for one in guests] + ([one.name for one in guests] if by_name else [])
    hint = nearest(written, [one_line(name, _WIDTH) for name in known[:_MOST_COMPARED] if name])
    said = f"{home} has no guest {one_line(written, _WIDTH)}"
    return Misuse(said, hint or "`patchledger guests` lists them")


_MOST_COMPARED = 1000
