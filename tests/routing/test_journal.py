"""What a killed worker knew, on disk, and what the next one makes of it."""

import os
import uuid
from datetime import UTC, datetime

import pytest

from gateway.models import DueMessage
from routing import delivery, journal
from routing.contract import Outcome, Verdict
from routing.delivery import Carrier
from routing.desk import Desk
from routing.journal import Journal
from routing.models import Delivery, Part
from routing.relay import Relay
from tests.routing.conftest import status_of


@pytest.fixture
def folder(tmp_path, settings):
    settings.JOURNAL_FOLDER = tmp_path / "journal"
    return settings.JOURNAL_FOLDER


def accepted(delivery_id=None, message_id=None, remote_id="a1"):
    now = datetime.now(tz=UTC)
    return Outcome(
        delivery_id or uuid.uuid4(), message_id or uuid.uuid4(), Verdict.ACCEPTED, now, (remote_id,)
    )


def die(kept: Journal) -> None:
    """What a kill leaves: the file as it is, and no lock."""
    os.close(kept._page._descriptor)


def pages(folder):
    return list(folder.glob("*.jsonl"))


def test_it_keeps_acceptances_until_they_are_stored(folder):
    kept = Journal(folder=folder, worker="w1")
    outcomes = [accepted(), accepted()]
    page, count = kept.append(operator_id=1, outcomes=outcomes)
    die(kept)
    ((path, groups),) = journal.left_behind(folder)
    assert groups == {(1, "w1"): outcomes}
    assert (page.path, count) == (path, 2)


def test_it_leaves_the_pages_of_a_living_worker_alone(folder):
    kept = Journal(folder=folder, worker="w1")
    kept.append(operator_id=1, outcomes=[accepted()])
    assert list(journal.left_behind(folder)) == []
    kept.close()
    die(kept)


def test_it_removes_a_page_once_all_of_it_is_stored(folder, monkeypatch):
    monkeypatch.setattr(journal, "PAGE_BYTES", 1)
    kept = Journal(folder=folder, worker="w1")
    first, count = kept.append(operator_id=1, outcomes=[accepted()])
    second, _ = kept.append(operator_id=1, outcomes=[accepted()])
    assert first is not second
    assert len(pages(folder)) == 2
    first.stored(count)
    assert list(pages(folder)) == [second.path]
    second.stored(1)
    kept.close()
    assert pages(folder) == []


def test_it_keeps_no_refusals(folder):
    kept = Journal(folder=folder, worker="w1")
    refused = accepted()
    refused.verdict = Verdict.REFUSED
    assert kept.append(operator_id=1, outcomes=[refused])[1] == 0
    kept.close()


def test_it_reads_on_past_a_line_that_the_kill_tore(folder):
    kept = Journal(folder=folder, worker="w1")
    whole = accepted()
    kept.append(operator_id=1, outcomes=[whole])
    os.write(kept._page._descriptor, b'["w1",1,"01a1f')
    die(kept)
    ((_path, groups),) = journal.left_behind(folder)
    assert groups == {(1, "w1"): [whole]}


@pytest.mark.django_db
def test_a_starting_worker_stores_what_a_killed_one_knew(folder, make_operator, waiting, monkeypatch, now):
    monkeypatch.setattr("routing.queues.publish", lambda **_: None)
    operator = make_operator("one")
    keys = waiting(operator, 3)
    Relay().tick()
    rows = dict(Delivery.objects.values_list("message_id", "pk"))
    delivery.take(delivery_ids=[str(key) for key in rows.values()], worker="w1", now=now)
    kept = Journal(folder=folder, worker="w1")
    told = [accepted(rows[key], key, f"r{number}") for number, key in enumerate(keys)]
    kept.append(operator_id=operator.pk, outcomes=told)
    # The first was stored before the kill, the second's row was reclaimed and waits again.
    carrier = Carrier(operator.pk, "one", "w1")
    delivery.record(carrier=carrier, outcomes=told[:1])
    delivery.give_back(delivery_ids=[rows[keys[1]]], message_ids=[keys[1]], worker="w1", now=now)
    die(kept)
    assert Desk(serves=frozenset(), on_queues=lambda _queues: None)._replay()
    assert [status_of(key) for key in keys] == ["sent"] * 3
    assert not DueMessage.objects.exists()
    assert not Delivery.objects.exists()
    # each part is expected once
    assert sorted(Part.objects.values_list("remote_id", flat=True)) == ["r0", "r1", "r2"]
    assert len(pages(folder)) == 1  # the new desk's own
