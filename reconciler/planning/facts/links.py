"""What the way to the network costs, as far as anybody can tell."""

from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """What is known of the connection that the default route leads through.

    Attributes:
        metered: Who calls it metered, in words; empty where nobody does, which counts as not metered.
        is_watched: Somebody is there who may call it so in a while: it is asked again while packages are
            fetched.
        trouble: Why whoever should know could not be asked; empty where they could.
    """

    metered: str = ""
    is_watched: bool = False
    trouble: str = ""


FREE = Cost()
"""Of a machine on which nobody knows of connections that cost money."""
