"""The command of an installed package.

``deploy`` puts a first line above that names the interpreter of the folder it is in, with ``-I -S``: neither
the caller's environment and folder nor modules of the distribution are looked at, and the start is quick.
"""

import sys

_FOLDER = sys.executable.removesuffix("/bin/python3")
sys.path.append(f"{_FOLDER}/site")

_INTERRUPTED = 130

if __name__ == "__main__":
    try:
        from reconciler.cli import main

        code = main()
    except KeyboardInterrupt:  # also while modules are imported
        code = _INTERRUPTED
    sys.exit(code)
