"""The command of an installed package.

``deploy`` puts a first line above that names the interpreter of the folder it is in, with ``-I -S``: neither
the caller's environment and folder nor modules of the distribution are looked at, and the start is quick.
"""

import sys

_FOLDER = sys.executable.removesuffix("/bin/python3")
sys.path.append(f"{_FOLDER}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages")

from reconciler.cli import main  # noqa: E402 - only now it can be found

if __name__ == "__main__":
    sys.exit(main())
