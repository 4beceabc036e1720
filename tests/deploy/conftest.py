import contextlib
import os

import pytest

from tests.deploy.processes import Supervised


@pytest.fixture
def supervise(tmp_path):
    started = []

    def start(*parts):
        started.append(Supervised(tmp_path, parts))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        with contextlib.suppress(ValueError):
            each.process.communicate()


@pytest.fixture
def as_root():
    if os.geteuid() != 0:
        pytest.skip("needs root")
