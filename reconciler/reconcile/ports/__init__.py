"""What a tick needs of the outside world, and what that may answer.

Adapters import these modules, and nothing else of :mod:`reconciler.reconcile`; :mod:`reconciler.cli.wiring`
passes them in.
"""
