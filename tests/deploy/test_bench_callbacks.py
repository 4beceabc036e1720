import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.pipeline


def test_it_measures_callbacks_beside_an_endpoint_that_hangs_and_to_slow_ones():
    command = [sys.executable, "-m", "deploy.bench", "--quick", "callback_isolation", "callback_slow"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["scenarios"]
    for result in found.values():
        assert (result["lost"], result["duplicated"], result["wrong_signatures"]) == (0, 0, 0)
        assert "webhooks" in result["cpu_seconds_per_1000"]
    assert found["callback_isolation"]["waiting_for_the_one_that_hangs"]["after"] == 5000
    assert found["callback_slow"]["attempts_recorded"] == 1000
