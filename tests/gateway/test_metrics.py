"""What Prometheus is told, and who may ask."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.conf import settings
from django.db import Error, connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from config import metrics as page
from gateway import metrics, throttling
from gateway.models import DueMessage
from routing import operators
from routing.contract import TransportState
from routing.models import Operator
from tests.factories import message


@pytest.fixture(autouse=True)
def _fresh():
    page.forget()


def read(**headers: str) -> dict[tuple[str, frozenset], float]:
    """Every sample, by its name and labels."""
    answer = Client().get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.content
    families = text_string_to_metric_families(answer.content.decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def sample(found: dict, name: str, **labels: str) -> float:
    return found.get((name, frozenset(labels.items())), 0.0)


def count_elsewhere(times: int) -> None:
    """Another process counts, and ends."""
    code = (
        "import django; django.setup()\nfrom gateway import metrics\n"
        f"for _ in range({times}): metrics.observe(method='GET', route='v1/elsewhere', status=200, seconds=0.02)\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=settings.BASE_DIR)


def gone() -> set[int]:
    """The processes that have a file and are no more."""
    owners = {int(path.stem.partition("_")[2]) for path in settings.METRICS_FOLDER.glob("*.db")}
    return {owner for owner in owners - {0} if not Path(f"/proc/{owner}").exists()}


@pytest.mark.django_db
def test_counts_requests_by_route_and_status():
    labels = {"method": "POST", "route": "v1/things"}
    before = read()
    for seconds in (0.001, 0.005, 0.02, 70.0):
        metrics.observe(method="POST", route="v1/things", status=200, seconds=seconds)
    metrics.observe(method="BREW", route="v1/things", status=405, seconds=0.001)
    after = read()

    def more(name: str, **given: str) -> float:
        return sample(after, name, **given) - sample(before, name, **given)

    assert more("trunkline_http_requests_total", **labels, status="200") == 4
    assert more("trunkline_http_requests_total", method="other", route="v1/things", status="405") == 1
    name = "trunkline_http_request_seconds"
    assert more(f"{name}_count", **labels) == 4
    assert more(f"{name}_sum", **labels) == pytest.approx(70.026)
    assert [more(f"{name}_bucket", **labels, le=bound) for bound in ("0.005", "0.025", "5.0", "+Inf")] == [
        2,
        3,
        3,
        4,
    ]


@pytest.mark.django_db
def test_counts_within_a_second_without_being_asked():
    metrics.flush()
    metrics.observe(method="GET", route="v1/soon", status=200, seconds=0.1)
    deadline = time.monotonic() + 15
    while metrics._notes.waiting and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not metrics._notes.waiting


@pytest.mark.django_db
def test_adds_up_processes_that_are_gone_and_keeps_one_file_of_them():
    before = read()
    for _ in range(2):
        count_elsewhere(5)
    for _ in range(2):
        after = read()
        labels = {"method": "GET", "route": "v1/elsewhere"}
        name = "trunkline_http_requests_total"
        assert (
            sample(after, name, **labels, status="200") - sample(before, name, **labels, status="200") == 10
        )
        name = "trunkline_http_request_seconds_bucket"
        assert sample(after, name, **labels, le="0.025") - sample(before, name, **labels, le="0.025") == 10
        assert sample(after, name, **labels, le="0.01") == 0
    deadline = time.monotonic() + 10
    # Other tests' processes may have ended since.
    while gone():
        assert time.monotonic() < deadline, gone()
        read()


@pytest.mark.django_db
def test_forgets_a_machine_that_nobody_asks_any_more():
    gone = settings.METRICS_FOLDER.parent / "gone"
    fresh = settings.METRICS_FOLDER.parent / "fresh"
    for folder in (gone, fresh):
        folder.mkdir(exist_ok=True)
        (folder / "lock").touch()
    os.utime(gone / "lock", (0, 0))
    read()
    assert not gone.exists()
    assert fresh.exists()
    (fresh / "lock").unlink()
    fresh.rmdir()


@pytest.mark.django_db
def test_counts_what_went_on_unchecked(monkeypatch):
    before = sample(read(), "trunkline_rate_limit_failures_total", store="database")
    monkeypatch.setattr(throttling, "failures", lambda: 7 + metrics._notes.unchecked)
    assert sample(read(), "trunkline_rate_limit_failures_total", store="database") == before + 7


def test_goes_on_without_room_on_the_disk(monkeypatch):
    def full(*_given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(metrics, "_notes", metrics._Notes())
    monkeypatch.setattr(os, "posix_fallocate", full)
    metrics.observe(method="GET", route="v1/full", status=200, seconds=0.1)
    metrics.flush()
    assert not metrics._notes.waiting


@pytest.mark.django_db
def test_tells_what_waits(acme, monkeypatch):
    monkeypatch.setattr(page, "_PATIENCE", 30_000)
    operator = Operator.objects.create(slug="one", transport="simulator")
    for _ in range(2):
        acme.post("/v1/messages", message())
    acme.post(
        "/v1/messages",
        message(sendAt=datetime.now(tz=UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")),
    )
    DueMessage.objects.update(lane=operator.pk)
    operators.report(worker="w", states={operator.pk: TransportState(up=True, window=1, detail={"bound": 2})})
    found = read()
    assert sample(found, "trunkline_database_up") == 1
    assert sample(found, "trunkline_metrics_unanswered") == 0
    assert sample(found, "trunkline_messages_waiting", operator="one") == 3
    assert 0 <= sample(found, "trunkline_oldest_waiting_seconds", operator="one") < 60
    assert sample(found, "trunkline_operator_workers_up", operator="one") == 1
    assert sample(found, "trunkline_operator_binds", operator="one") == 2
    assert sample(found, "trunkline_messages_recent", channel="sms", status="accepted") == 3
    assert sample(found, "trunkline_partition_days_ahead", table="gateway_message") >= 1
    assert ("trunkline_callbacks_held", frozenset()) in found


@pytest.mark.django_db
def test_answers_without_the_database(monkeypatch):
    def away() -> None:
        raise Error

    monkeypatch.setattr(connection, "cursor", away)
    found = read()
    assert sample(found, "trunkline_database_up") == 0
    assert sample(found, "trunkline_metrics_unanswered") == len(page.QUESTIONS)
    page.forget()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "status"),
    [
        ("127.0.0.1", None, [], 200),
        ("::1", None, [], 200),
        ("::ffff:127.0.0.1", None, [], 200),
        ("10.0.0.1", None, [], 403),
        ("", None, [], 403),
        ("127.0.0.1", "192.0.2.1", [], 403),
        ("127.0.0.1", "192.0.2.1", ["127.0.0.0/8"], 403),
        ("127.0.0.1", "192.0.2.1", ["10.0.0.0/8"], 403),
        ("10.0.0.1", "127.0.0.1", ["10.0.0.0/8"], 200),
        ("10.0.0.1", "127.0.0.1", [], 403),
    ],
)
def test_answers_who_is_allowed(settings, peer, forwarded, proxies, status):
    settings.TRUSTED_PROXIES = [ip_network(text) for text in proxies]
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    assert Client(REMOTE_ADDR=peer).get("/metrics", headers=headers).status_code == status


@pytest.mark.django_db
def test_allows_the_networks_of_the_setting(settings):
    settings.METRICS_ALLOWED_NETWORKS = [ip_network("10.0.0.0/8")]
    assert Client(REMOTE_ADDR="10.1.2.3").get("/metrics").status_code == 200
    assert Client(REMOTE_ADDR="127.0.0.1").get("/metrics").status_code == 403
    assert Client(REMOTE_ADDR="10.1.2.3").post("/metrics").status_code == 405
