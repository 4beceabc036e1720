from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.test import Client

from config import env, health
from routing.models import Operator, OperatorState


@pytest.fixture
def broker(monkeypatch, tmp_path):
    monkeypatch.setattr(env, "broker_url", lambda: "filesystem://")
    monkeypatch.setattr(env, "broker_folder", lambda: tmp_path)
    return tmp_path


def report(operator, *, up=True, ago=0.0):
    seen_at = datetime.now(tz=UTC) - timedelta(seconds=ago)
    OperatorState.objects.create(operator_id=operator.pk, worker=f"w{ago}", up=up, window=1, seen_at=seen_at)


def ready() -> tuple[int, dict]:
    answer = Client().get("/health/ready")
    return answer.status_code, answer.json()


def test_lives_without_anything():
    assert Client().get("/health/live").json() == {"status": "ok"}


def test_is_ready_when_every_operator_is_up(db, broker):
    operator = Operator.objects.create(slug="one", transport="simulator")
    Operator.objects.create(slug="off", transport="simulator", active=False)
    assert ready()[1]["checks"]["operators"] == {"one": "down"}
    report(operator, ago=6)
    assert ready()[0] == 503
    report(operator)
    status, body = ready()
    assert (status, body["status"]) == (200, "ok")
    assert body["checks"] == {"database": "up", "broker": "up", "operators": {"one": "up"}}


def test_is_not_ready_without_a_broker(db, monkeypatch):
    monkeypatch.setattr(env, "broker_url", lambda: "amqp://127.0.0.1:1//")
    status, body = ready()
    assert (status, body["checks"]["broker"]) == (503, "down")


def test_reaches_a_broker_on_a_port_or_a_socket(monkeypatch, tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        for url in (f"amqp://u:p@127.0.0.1:{server.getsockname()[1]}//", f"redis+socket://{tmp_path}/s"):
            monkeypatch.setattr(env, "broker_url", lambda url=url: url)
            assert health._broker()


def test_is_not_ready_without_the_database(db, broker, monkeypatch):
    def away():
        raise OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", away)
        status, body = ready()
    assert (status, body["checks"]["database"]) == (503, "down")
