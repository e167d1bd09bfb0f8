"""Run the command as ``python -m reconciler``."""

import sys

from reconciler.cli import main

if __name__ == "__main__":
    sys.exit(main())
