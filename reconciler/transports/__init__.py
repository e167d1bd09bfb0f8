"""The ways into guests, one module a kind: which guests there are, and what command enters one.

They look and tell; nothing is started in a guest here. ``inspect`` reads files and asks sockets, or starts a
process for all guests of its kind: never one for each. ``entering`` returns a command that runs another one
in a guest, and leaves environment, standard input and whatever else is common to all kinds to its caller.
"""
