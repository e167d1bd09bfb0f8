"""The questions of ``setup``, each with a default and tested at once, with a way on where the test fails."""

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import partial
from pathlib import Path

from reconciler.cli.verbs.asking import Terminal, choose, confirm
from reconciler.cli.verbs.detected import Detected
from reconciler.cli.verbs.setup_checks import (
    PolicyLook,
    address_in_use,
    addresses_of,
    ask_notifier,
    check_notifier,
    check_reports,
)
from reconciler.errors import Misuse, ReconcilerError
from reconciler.host.install.answers import Answers, Draft, Path_
from reconciler.records import dataclass

_NOTHING = "-"
_WAYS = {
    "retry": "try again",
    "change": "answer again",
    "keep": "go on all the same",
    "give up": "change nothing",
}


class GivenUp(Misuse):
    """Somebody chose to change nothing."""


@dataclass(slots=True)
class Wizard:
    """Asks for every answer, beginning with a draft.

    Attributes:
        draft: What is known; each answer is put into it.
        terminal: Who is asked.
        found: What was found out about this machine.
        places: Encrypted file of each credential that is in use, by name.
        given: Answers that stand in options are not asked for.
        policy: Looks at the policy.
    """

    draft: Draft
    terminal: Terminal
    found: Detected
    places: Mapping[str, Path] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    policy: PolicyLook = field(default_factory=PolicyLook)

    def run(self) -> Answers:
        """Ask everything, and return the answers.

        Raises:
            GivenUp: Somebody gave up.
            Misuse: Nobody answers.
        """
        self._greet()
        self._ask(("host",), "Id of this host, also the name of its report branch")
        self._policy()
        self._reports()
        self._labels()
        self._notifiers()
        self._updaters()
        self._ask(("tick",), "Time between two ticks", default="15m")
        answers = self.draft.check()
        if isinstance(answers, Answers):
            return answers
        raise Misuse("\n".join(answers), "run setup again with other answers")

    def _greet(self) -> None:
        found, say = self.found, self.terminal.say
        say(f"This is {found.distribution}, patched by {found.manager}.")
        if found.zone:
            say(f"Its time zone is {found.zone}; windows are in the zone that their Schedule names.")
        say(
            f"Enter takes the answer in brackets, {_NOTHING} means none. Nothing is changed before you agree."
        )

    # --- Sections ---------------------------------------------------------------------------------------

    def _policy(self) -> None:
        def ask() -> None:
            self._ask(("policy", "remote"), "Address of the policy repository")
            self._ask(("policy", "ref"), "Its branch", default="main")
            self._ask_git(str(self.draft.answer(("policy", "remote"))))

        self._tested(ask, self.policy.check)
        self._floor()

    def _floor(self) -> None:
        if "trust.floor" in self.given:
            return
        self.terminal.say(
            "The policy may be required to descend from a commit that you trust: its full id, or 'head' for"
            " the newest one. Without it, the first one that is fetched is trusted."
        )

        def ask() -> None:
            while True:
                said = self._line(("trust", "floor"), "Trusted commit", "")
                if said == "head":
                    try:
                        said = self.policy.first_floor(self._partial())
                    except ReconcilerError as error:
                        self._complain(error)
                        continue
                if self._takes(("trust", "floor"), said):
                    return

        def check(config: Answers) -> str:
            return self.policy.check(config) if config.trust.floor else ""

        self._tested(ask, check)

    def _reports(self) -> None:
        def ask() -> None:
            place = ("reports", "remote")
            self._ask(place, "Address of the report repository, or of several; without it reports stay here")
            for remote in _texts(self.draft.answer(place)):
                self._ask_git(remote)

        self._tested(ask, check_reports)

    def _ask_git(self, remote: str) -> None:
        """Ask how to log in, where the address is of a kind that needs it and it was not asked before."""
        if remote.startswith(("https://", "http://")):
            self._ask_once(("git", "credential"), "File with user name and password, or with a token")
            self._ask_once(
                ("git", "ca_file"), "File of the authorities trusted for it, instead of the system's"
            )
        elif not remote.startswith(("/", "file://")):
            self._ask_once(("git", "identity"), "SSH private key to log in with, instead of root's own")
            self._ask_once(("git", "known_hosts"), "File of the servers' host keys, instead of root's own")

    def _labels(self) -> None:
        if "labels" in self.given:
            return
        known = self.draft.answer(("labels",))
        pairs = known.items() if isinstance(known, Mapping) else ()
        default = " ".join(f"{key}={value}" for key, value in pairs)
        while True:
            said = self.terminal.ask(
                "Labels that policies match on, such as env=production role=web", default
            )
            said = "" if said == _NOTHING else said
            labels = dict(part.partition("=")[::2] for part in said.replace(",", " ").split())
            if not all(key and value for key, value in labels.items()):
                self.terminal.say("Write each label as key=value.")
            elif self._takes(("labels",), labels or None):
                return

    def _notifiers(self) -> None:
        known = self.draft.answer(("notifiers",))
        for name in tuple(known) if isinstance(known, Mapping) else ():
            if f"notifiers.{name}" in self.given or confirm(
                self.terminal, f"Keep the notifier {name}", default=True
            ):
                self._tested(partial(self._address, name), partial(self._try, name), asks=False)
            else:
                self.draft = self.draft.with_answer(("notifiers", name), None)
        while True:
            more = "Another notifier" if self.draft.answer(("notifiers",)) else "Name of a notifier"
            name = self.terminal.ask(f"{more} that policies route messages to, such as ops", _NOTHING)
            if name == _NOTHING:
                return
            self._tested(partial(self._address, name), partial(self._try, name))

    def _address(self, name: str) -> None:
        place = ("notifiers", name)
        while True:
            said = self.terminal.ask_secret(f"Apprise URL of {name} (not shown)")
            if not said:
                self.draft = self.draft.with_answer(place, None)
                self.terminal.say(f"No address, so no notifier {name}.")
                return
            answer = {"address": said}
            why = self.found.why_no_credentials
            if why:
                self.terminal.say(f"It cannot be encrypted here: {why}.")
                if not confirm(
                    self.terminal, "Keep it in a plain file that root alone may read", default=False
                ):
                    continue
                answer["keep"] = "file"
            if self._takes(place, answer):
                return

    def _try(self, name: str, config: Answers) -> str:
        one = config.notifiers.get(name)
        if one is None:
            return ""
        if one.is_new:
            address = addresses_of(config.model_copy(update={"notifiers": {name: one}}))[name]
            return check_notifier(config, name, address)
        return ask_notifier(config, name, address_in_use(name, one, self.places), is_known=True)

    def _updaters(self) -> None:
        awake = [one.name for one in self.found.updaters if not one.parked]
        was_parked = self.draft.answer(("updaters",)) != "leave"
        if "updaters" in self.given or not self.found.updaters:
            return
        names = awake or [one.name for one in self.found.updaters]
        idle, them = (
            ("does nothing by itself", "it") if len(names) == 1 else ("do nothing by themselves", "them")
        )
        said = "would upgrade packages beside patchledger" if awake else idle
        question = f"{' and '.join(names)} {said}. Park {them}, until cleanup"
        park = confirm(self.terminal, question, default=was_parked)
        self.draft = self.draft.with_answer(("updaters",), "park" if park else "leave")

    # --- One question -----------------------------------------------------------------------------------

    def _ask(self, place: Path_, question: str, default: str = "") -> None:
        """Ask until the answer can be one; a question that an option has answered is not asked."""
        if ".".join(place) in self.given:
            return
        while not self._takes(place, self._line(place, question, default)):
            pass

    def _ask_once(self, place: Path_, question: str) -> None:
        if ".".join(place) not in self.draft.origins:
            self._ask(place, question)

    def _line(self, place: Path_, question: str, default: str) -> str | list[str]:
        said = self.terminal.ask(question, " ".join(_texts(self.draft.answer(place))) or default or _NOTHING)
        words = said.split()
        are_addresses = (
            place == ("reports", "remote")
            and len(words) > 1
            and all(word.startswith("/") or ":" in word for word in words)
        )
        return words if are_addresses else "" if said == _NOTHING else said

    def _takes(self, place: Path_, said: object) -> bool:
        draft = self.draft.with_answer(place, said or None)
        wrong = draft.mistakes(place)
        for line in wrong:
            self.terminal.say(f"  {line}")
        if not wrong:
            self.draft = draft
        return not wrong

    def _tested(self, ask: Callable[[], None], check: Callable[[Answers], str], *, asks: bool = True) -> None:
        """Ask and test the answers; where the test fails, say why, and let the person say what then."""
        if asks:
            ask()
        while True:
            ways = dict(_WAYS)
            try:
                said = check(self._partial())
            except ReconcilerError as error:
                self._complain(error)
                if isinstance(error, Misuse):
                    del ways["keep"]  # No server is to blame, and every tick would refuse it.
            else:
                if said:
                    self.terminal.say(f"  ok: {said}")
                return
            match choose(self.terminal, "What now:", ways, "retry"):
                case "change":
                    ask()
                case "keep":
                    return
                case "give up":
                    raise GivenUp("given up: nothing was changed")
                case _:
                    pass

    def _complain(self, error: ReconcilerError) -> None:
        for line in error.message.splitlines():
            self.terminal.say(f"  failed: {line}")
        if error.hint:
            self.terminal.say(f"  hint: {error.hint}")

    def _partial(self) -> Answers:
        """Return what is known so far as answers.

        Raises:
            Misuse: Something that is not asked for is wrong.
        """
        found = self.draft.check()
        if isinstance(found, Answers):
            return found
        raise Misuse("\n".join(found), "give it up, and mend that first")


def _texts(answer: object) -> list[str]:
    """Return an answer that may be one text or several as a list."""
    several = answer if isinstance(answer, list | tuple) else () if answer is None else (answer,)
    return [str(one) for one in several]
