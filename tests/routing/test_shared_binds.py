"""Worker processes that share the binds an operator allows, and leave its queue to those that have one."""

import contextlib
import time

import pytest
from django.utils import timezone

from routing import operators
from routing.contract import TransportState
from routing.desk import Desk
from routing.models import Operator, OperatorState
from smpp_bind import simulator

pytestmark = pytest.mark.django_db(transaction=True)

QUEUE = "operator.one"


class Process:
    """A desk as a worker process has one, and the queues that it takes tasks from."""

    def __init__(self):
        self.consumed = set()
        self.desk = Desk(serves=frozenset({"one"}), on_queues=self._consume)
        self.desk.start()

    def _consume(self, queues):
        self.consumed = queues

    @property
    def binds(self):
        """How many binds its transport is up with, as it reports."""
        state = OperatorState.objects.filter(worker=self.desk.worker).first()
        return None if state is None else state.detail.get("bound", 0)


@pytest.fixture
def smsc():
    with simulator.start_in_thread(simulator.Settings(port=0, max_binds=2)) as running:
        yield running


@pytest.fixture
def process(tmp_path, settings, smsc):
    settings.JOURNAL_FOLDER = tmp_path / "journal"
    account = {"host": "127.0.0.1", "port": smsc.port, "system_id": "esme", "max_binds": 2}
    Operator.objects.create(slug="one", transport="smpp", settings=account)
    with contextlib.ExitStack() as undo:

        def start():
            made = Process()
            undo.callback(made.desk.stop)
            return made

        yield start


def wait(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def test_it_opens_no_more_binds_than_are_allowed_and_passes_a_free_one_on(process):
    one, two = process(), process()
    wait(lambda: one.binds == two.binds == 1)
    three = process()
    wait(lambda: three.binds == 0)
    assert (one.consumed, two.consumed, three.consumed) == ({QUEUE}, {QUEUE}, set())
    one.desk.stop()
    wait(lambda: three.binds == 1 and three.consumed == {QUEUE})
    assert two.binds == 1


def test_it_opens_more_once_more_are_allowed(process, smsc):
    one = process()
    wait(lambda: one.binds == 1)
    row = Operator.objects.get(slug="one")
    row.settings |= {"binds": 2}
    row.save()
    wait(lambda: one.binds == 2)
    two = process()
    wait(lambda: two.binds == 0)
    Operator.objects.filter(pk=row.pk).update(settings=row.settings | {"binds": 1}, updated_at=timezone.now())
    wait(lambda: one.binds == two.binds == 1)


def test_it_takes_tasks_while_nobody_has_a_bind(process, smsc):
    one = process()
    wait(lambda: one.binds == 1)
    operator = Operator.objects.get(slug="one")
    other = {operator.pk: TransportState(up=True, window=10)}
    smsc.refuse(60.0)
    smsc.close_connections()
    wait(lambda: one.binds == 0)
    time.sleep(0.1)
    assert one.consumed == {QUEUE}
    operators.report(worker="another", states=other)
    wait(lambda: one.consumed == set())
