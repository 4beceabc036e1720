"""Holds back a part that has been started early, until the database is up to date.

Loading the API takes as long as migrating, so both are done at once; but no request is answered before.
"""

import os
import time
from pathlib import Path

VARIABLE = "TRUNKLINE_GATE"


def wait() -> None:
    """Return once the gate is open; at once where there is none."""
    path = os.environ.get(VARIABLE)
    while path and not Path(path).exists():
        time.sleep(0.02)


def open_up() -> None:
    """Let through what waits, and what is started later."""
    if path := os.environ.get(VARIABLE):
        Path(path).touch(mode=0o600)
