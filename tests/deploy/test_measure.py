import os
import subprocess
import sys
import time

import pytest

from deploy import measure
from tests.deploy.processes import eventually

pytestmark = pytest.mark.skipif(not measure.PROC.joinpath("self/stat").exists(), reason="needs /proc")

BUSY = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}])
child.wait()
print("done", flush=True)
sys.stdin.read()
"""


def running(code):
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_it_counts_the_cpu_of_children_that_have_ended():
    with running(PARENT.format(child=BUSY.format(seconds=0.3))) as parent:
        parent.stdout.readline()
        assert 0.25 < measure.cpu({"one": parent.pid})["one"] < 3
        parent.stdin.close()


def test_it_counts_a_named_process_under_another_once():
    sleeping = "import sys; sys.stdin.read()"
    with running(PARENT.format(child=sleeping)) as parent:
        child = eventually(
            lambda: [each.pid for each in measure.processes().values() if each.parent == parent.pid]
        )[0]
        both = measure.trees({"parent": parent.pid, "child": child}, measure.processes())
        alone = measure.trees({"parent": parent.pid}, measure.processes())
        assert {name: [each.pid for each in of] for name, of in both.items()} == {
            "parent": [parent.pid],
            "child": [child],
        }
        assert {each.pid for each in alone["parent"]} == {parent.pid, child}
        parent.stdin.close()


def test_it_tells_memory_with_shared_pages_counted_once():
    size = measure.memory({"me": os.getpid()})["me"]
    assert size.pss is not None
    assert 1_000_000 < size.pss <= size.rss * 1.05


def test_its_window_holds_what_was_used_between_its_ends():
    time.sleep(0.01)
    with measure.Window(lambda: {"me": os.getpid()}) as window:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
    assert 0.15 < window.cpu["me"] < 0.6
    assert window.peaks.each["me"] == window.peaks.together


def test_a_process_that_is_gone_is_nothing():
    assert measure.read(2**22 + 1) is None
    assert measure.pss(2**22 + 1) is None
    assert measure.cpu({"gone": 2**22 + 1}) == {"gone": 0}


def test_its_percentiles_are_values_that_occurred():
    ordered = [float(value) for value in range(1, 101)]
    assert (measure.percentile(ordered, 0.5), measure.percentile(ordered, 0.99)) == (50.0, 99.0)
    assert measure.percentile([7.0], 0.99) == 7.0
    assert measure.percentile([], 0.5) == 0.0
    assert measure.spread([0.002, 0.001]) == {"p50": 1.0, "p99": 2.0}
