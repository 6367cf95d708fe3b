#!/usr/bin/env bash
# Makes the virtual environment, or says in one line what this machine lacks.
set -euo pipefail
python=$1 venv=$2

if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup: floe needs Python 3.11 or newer; install it, or name it: make setup PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "setup: $python has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
fi
rm -rf "$venv"
"$python" -m venv "$venv"
