"""The supervisor of `make run`."""

import itertools
import os
import signal
import time

from tests.deploy.processes import alive, eventually


def test_it_starts_parts_when_what_they_need_is_ready(supervise):
    slow = "import time\ntime.sleep(0.3)\nassert 'second' not in open('started').read()\n"
    run = supervise(
        {"name": "first", "code": slow, "once": True},
        {"name": "second", "needs": ["first"], "ready": "ready-second"},
        {"name": "third", "needs": ["second"]},
    )
    run.announced()
    eventually(lambda: run.lines("started") == ["first", "second", "third"])
    assert sorted(run.pids()) == ["second", "third"]


def test_it_starts_late_parts_after_the_announcement(supervise):
    seen = "assert os.path.exists('announced')\nopen('saw', 'w')\nimport time\ntime.sleep(60)\n"
    run = supervise({"name": "late", "code": seen, "late": True}, {"name": "early"})
    eventually((run.folder / "saw").exists)


def test_it_starts_a_killed_part_again_within_a_second(supervise):
    run = supervise({"name": "part", "ready": "ready-part"}, {"name": "other"})
    pids = run.announced()
    os.kill(pids["part"], signal.SIGKILL)
    killed_at = time.monotonic()
    eventually(lambda: run.pids().get("part") not in {None, pids["part"]})
    assert time.monotonic() - killed_at < 1
    assert run.pids()["other"] == pids["other"]


def test_it_waits_longer_after_each_death_in_a_row(supervise):
    dies = "import time\nopen('times', 'a').write(f'{time.monotonic()}\\n')\nopen('ready', 'w')\ntime.sleep(0.1)\n"
    run = supervise({"name": "dying", "code": dies, "ready": "ready"})
    times = eventually(lambda: len(run.lines("times")) >= 4 and [float(t) for t in run.lines("times")])
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps[0] < gaps[1] < gaps[2]
    assert gaps[2] > 0.5


def test_it_kills_what_a_dead_part_leaves_behind(supervise):
    # The grandchild has a session of its own, as PostgreSQL's processes have.
    code = (
        "import subprocess, time\n"
        "p = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "open('grandchildren', 'a').write(f'{p.pid}\\n')\ntime.sleep(60)\n"
    )
    run = supervise({"name": "parent", "code": code})
    run.announced()
    grandchild = int(eventually(lambda: run.lines("grandchildren"))[0])
    os.kill(run.pids()["parent"], signal.SIGKILL)
    eventually(lambda: not alive(grandchild))
    second = int(eventually(lambda: len(run.lines("grandchildren")) == 2 and run.lines("grandchildren"))[1])
    assert run.stop()[0] == 0
    assert not alive(second)


def test_it_stops_parts_in_order_and_leaves_nothing(supervise):
    run = supervise(
        {"name": "database", "ready": "ready-database", "stop_order": 2},
        {"name": "worker", "ready": "ready-worker", "stop_order": 1},
        {"name": "api", "ready": "ready-api", "stop_order": 0},
    )
    pids = run.announced()
    assert run.stop(signal.SIGINT)[0] == 0
    assert run.lines("stopped") == ["api", "worker", "database"]
    assert not any(alive(pid) for pid in pids.values())
    assert run.pids() == {}


def test_it_kills_a_part_that_does_not_stop(supervise):
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen('deaf', 'w')\ntime.sleep(60)\n"
    run = supervise({"name": "deaf", "code": deaf, "ready": "deaf", "stop_seconds": 0.3})
    pid = run.announced()["deaf"]
    code, output = run.stop()
    assert code == 0
    assert "deaf does not stop" in output
    assert not alive(pid)


def test_it_takes_all_parts_with_it_when_it_is_killed(supervise):
    run = supervise({"name": "one", "ready": "ready-one"}, {"name": "two", "ready": "ready-two"})
    pids = run.announced()
    run.process.kill()
    eventually(lambda: not any(alive(pid) for pid in pids.values()))
    again = supervise({"name": "one", "ready": "ready-one"})
    eventually(lambda: again.pids().get("one") not in {None, pids["one"]})
    assert again.stop()[0] == 0


def test_it_gives_up_when_a_command_to_run_once_fails(supervise):
    run = supervise(
        {"name": "other"}, {"name": "migrate", "code": "raise SystemExit('no such table')", "once": True}
    )
    code, output = run.ended()
    assert code == 1
    assert "migrate failed (exit code 1)" in output
    assert "no such table" in output
    assert run.pids() == {}


def test_it_gives_up_on_a_part_that_never_gets_ready(supervise):
    run = supervise({"name": "broken", "code": "raise SystemExit('cannot import')", "ready": "never"})
    code, output = run.ended()
    assert code == 1
    assert "cannot import" in output


def test_it_refuses_a_second_run_in_the_same_folder(supervise):
    first = supervise({"name": "part"})
    first.announced()
    code, output = supervise({"name": "part"}).ended()
    assert code == 1
    assert f"already runs in {first.folder} (process {first.process.pid})" in output


def test_it_keeps_logs_small(supervise):
    chatty = "import sys\nfor _ in range(90):\n    sys.stderr.write('x' * 99_999 + '\\n')\nopen('full', 'w')\nimport time\ntime.sleep(60)\n"
    run = supervise({"name": "chatty", "code": chatty, "ready": "full"})
    run.announced()
    eventually((run.folder / "chatty.log.1").exists)
    eventually(lambda: (run.folder / "chatty.log").stat().st_size == 0)
