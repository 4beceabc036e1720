#!/bin/sh
# Makes the virtual environment .venv with a Python that really runs: 3.13, 3.12 or 3.11.
# A version manager's shim may exist for a version that is not installed, so each candidate is executed.
# PYTHON names another one.
set -eu

fits='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

works() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c "$fits" >/dev/null 2>&1
}

if [ -x .venv/bin/python ] && works .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; then
    exit 0
fi

if [ -n "${PYTHON:-}" ]; then
    works "$PYTHON" || {
        echo "PYTHON=$PYTHON does not run, or is not Python 3.11, 3.12 or 3.13 with venv." >&2
        exit 1
    }
    chosen=$PYTHON
else
    chosen=
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        if works "$candidate"; then
            chosen=$candidate
            break
        fi
    done
    [ -n "$chosen" ] || {
        echo "No Python 3.11, 3.12 or 3.13 with venv found. Install one (on Debian: apt install python3-venv)," >&2
        echo "or name it: make PYTHON=/path/to/python3.12 …" >&2
        exit 1
    }
fi

echo "Making .venv with $("$chosen" --version)"
rm -rf .venv
"$chosen" -m venv .venv
