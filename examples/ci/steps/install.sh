#!/bin/sh
# Puts patchledger where the other steps look for it.
# PATCHLEDGER: what pip is to install: a version (patchledger==1.2.3), a wheel, an address with git+https://
set -eu
venv=${PATCHLEDGER_VENV:-$HOME/.patchledger-ci}
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${PATCHLEDGER:-patchledger}"
"$venv/bin/patchledger" --version
