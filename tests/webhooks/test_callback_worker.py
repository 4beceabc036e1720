import resource
from types import SimpleNamespace

import pytest
from celery import Celery
from kombu import Queue

from webhooks import worker


@pytest.fixture
def parent():
    """A worker as a step sees it, consuming the queues named."""

    def make(*names):
        app = Celery("test", broker="memory://", set_as_current=False)
        app.conf.task_queues = [Queue(name) for name in ("webhooks", "operator.demo")]
        app.amqp.queues.select(list(names))
        return SimpleNamespace(app=app)

    return make


@pytest.mark.parametrize(
    ("queues", "wanted"),
    [(["webhooks"], True), (["operator.demo", "webhooks"], True), (["operator.demo"], False)],
)
def test_it_is_part_of_a_worker_only_when_that_consumes_the_queue_of_callbacks(parent, queues, wanted):
    step = worker.DispatcherStep(parent(*queues))
    assert step.include_if(parent(*queues)) is wanted


def test_it_starts_one_dispatcher_and_stops_it(parent):
    step = worker.DispatcherStep(parent("webhooks"))
    step.start(parent("webhooks"))
    running = worker.running()
    assert worker.running() is running
    step.stop(parent("webhooks"))
    assert worker._running is None
    step.stop(parent("webhooks"))


def test_it_may_open_as_many_connections_as_the_system_allows(parent):
    step = worker.DispatcherStep(parent("webhooks"))
    step.start(parent("webhooks"))
    step.stop(parent("webhooks"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard or soft >= 65_536


def test_it_hands_one_callback_over_once(monkeypatch):
    sending = worker.Sending()
    taken = []
    monkeypatch.setattr(sending.dispatcher, "take", taken.extend)
    item = SimpleNamespace(callback_id="a")
    sending.hand_over([item])
    sending.hand_over([item])
    assert taken == [item]
    sending.dispatcher._loop.close()
