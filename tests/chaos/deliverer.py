"""A process that tells 1,000 things, one outbox at a time, to be killed whenever somebody likes.

Arguments: the folder of the outbox, a file with the address, and how many messages there are.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.notify import AppriseSender, FileSource, Notifiers, Outbox, Route
from reconciler.planning.notices.events import Event, Notice
from reconciler.planning.notices.message import Message

AT_A_TIME = 20
START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def main() -> None:
    """Tell everything; whoever begins anew after a kill tells the same again, which the outbox must see."""
    folder, address, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    progress = folder.with_name("progress")
    told = int(progress.read_text()) if progress.exists() else 0
    sender = AppriseSender(Notifiers({"ops": FileSource(address)}), timeout=60)
    now = datetime.now(UTC)
    while True:
        outbox = Outbox(folder)
        if told < count and len({each.id for each in outbox.pending()}) < AT_A_TIME:
            for number in range(told, min(told + AT_A_TIME, count)):
                message = Message(f"{number:04}", "something happened\n", "", "")
                notice = Notice(Event.FAILED, f"web-01/failed/{number}", "one", START, message)
                outbox.enqueue(notice, Route("ops", frozenset(Event)))
            told = min(told + AT_A_TIME, count)
            fresh = progress.with_name("progress.new")
            fresh.write_text(str(told))
            fresh.replace(progress)
        now += timedelta(hours=7)  # no pause is longer
        outbox.deliver(sender, now)
        if told == count and not outbox.pending():
            return


if __name__ == "__main__":
    main()
