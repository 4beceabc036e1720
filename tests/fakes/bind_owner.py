"""The owner of a bind group: remembers what it was told, and waits for more."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from smpp_bind import pdu
from smpp_bind.group import BindGroup, Submit
from smpp_bind.io_thread import IoThread
from smpp_bind.settings import BindSettings


class Owner:
    """What a group told, and ways to wait for it."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.late: list[Any] = []
        self.alerts: list[Any] = []
        self.delivered: list[Any] = []
        self.throttled: list[Any] = []
        self.states: list[Any] = []
        self.changed = threading.Condition()

    def take(self, kept: list[Any]) -> Callable[[Any], None]:
        def callback(news: Any) -> None:
            with self.changed:
                kept.extend(news) if isinstance(news, list) else kept.append(news)
                self.changed.notify_all()

        return callback

    def wait(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, seconds), "waited in vain"

    def outcomes(self) -> dict[Any, int | None]:
        return {answer.token: answer.status for answer in self.answers}


class Groups:
    """Starts groups on one I/O thread, each with an owner; all are stopped at the end."""

    def __init__(self, io: IoThread) -> None:
        self._io = io
        self._made: list[BindGroup] = []

    def __call__(self, *each: BindSettings, wait: bool = True, **more: Any) -> tuple[BindGroup, Owner]:
        """Unless told otherwise, waits until all binds are bound."""
        owner = Owner()
        group = BindGroup(
            self._io,
            each,
            name="test",
            on_answers=owner.take(owner.answers),
            on_late=owner.take(owner.late),
            on_alert=owner.take(owner.alerts),
            on_delivered=owner.take(owner.delivered),
            on_throttled=owner.take(owner.throttled),
            on_state=owner.take(owner.states),
            **more,
        )
        self._made.append(group)
        group.start()
        if wait:
            owner.wait(lambda: owner.states and owner.states[-1].bound == len(each))
        return group, owner

    def stop(self) -> None:
        for group in self._made:
            group.stop(2)


@contextlib.contextmanager
def groups() -> Iterator[Groups]:
    io = IoThread()
    io.start()
    made = Groups(io)
    yield made
    made.stop()
    io.stop()


def body(number: int) -> bytes:
    sm = pdu.ShortMessage(destination=f"{number:08}", message=b"hello", registered_delivery=1)
    return pdu.encode_short_message_body(sm)


def submits(numbers: Any, not_before: float = 0.0) -> list[Submit]:
    return [Submit(number, body(number), not_before) for number in numbers]


def settings(smsc: Any, **changes: Any) -> BindSettings:
    """Of a fake or a simulator, impatient; without either give host and port."""
    values = {
        **({} if smsc is None else {"host": smsc.host, "port": smsc.port}),
        "system_id": "me",
        "password": "pw",
        "window": 10,
        "reconnect_min_seconds": 0.05,
        "reconnect_max_seconds": 0.1,
        "unbind_timeout": 0.3,
        **changes,
    }
    return BindSettings(**values)
