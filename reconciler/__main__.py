"""Run the command as ``python -m reconciler``."""

import sys

_INTERRUPTED = 130

if __name__ == "__main__":
    try:
        from reconciler.cli import main

        code = main()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    sys.exit(code)
