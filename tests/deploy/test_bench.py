import json
import subprocess
import sys

import pytest

from deploy.bench import lanes


def bench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "deploy.bench", *arguments], capture_output=True, text=True, check=False
    )


def test_it_names_the_scenarios_when_there_is_no_such():
    done = bench("submit", "fly")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such scenario: fly (there are bulk_accept," in done.stderr


def test_it_reads_when_the_simulator_had_each_message_first(tmp_path):
    record = tmp_path / "record"
    record.write_text(
        "100.000\tx\t33610000001\t1\taa\n101.500\tx\t33610000001\t2\tbb\n"
        "102.000\tx\t33610000002\t3\tcc\n103.000\tx\t33610000002\t4\tdd\n"
    )
    assert lanes.record_lines(record, 101.0) == {"+33610000001": 101.5, "+33610000002": 102.0}


def test_it_gives_up_when_a_count_stands_still(monkeypatch):
    monkeypatch.setattr(lanes, "PATIENCE_SECONDS", 0.05)
    counts = iter([1, 2, 3, *[3] * 1000])
    assert not lanes.reaches(lambda: next(counts), 4, every=0.01)
    assert lanes.reaches(lambda: 4, 4)


@pytest.mark.pipeline
def test_it_measures_the_whole_way_and_loses_nothing():
    done = bench("--quick", "--set", "single_accept", "callbacks")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["restarts"] == []
    assert set(found["scenarios"]) == {"single_accept", "callbacks"}
    for result in found["scenarios"].values():
        assert (result["lost"], result["duplicated"], result["complete"]) == (0, 0, True)
        assert {"api", "relay", "worker", "webhooks", "postgres"} <= set(result["cpu_seconds_per_1000"])
        assert result["peak_memory_mb"]["whole stack"]["rss"] > 100
    whole = found["scenarios"]["callbacks"]
    assert (whole["callbacks_verified"], whole["attempts_recorded"], whole["wrong_signatures"]) == (
        2000,
        2000,
        0,
    )
    assert set(whole["latency_ms"]) == {
        "accept_call",
        "accepted_to_sent",
        "sent_to_delivered",
        "delivered_to_callback",
    }
