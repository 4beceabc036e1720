"""What every test may count on: caches that start empty, and a network that ends at this machine."""

import ipaddress
import socket
import threading
from typing import Any

import pytest
from django.conf import settings
from whitenoise.middleware import WhiteNoiseMiddleware

from gateway import backlog, keys, numbers_owned, throttling
from tests import emptying


def pytest_configure() -> None:
    # The static files' middleware warns of a folder that is not there, and warnings are errors.
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    # Nobody guesses at what tests' passwords are; the usual hash takes a second of a processor.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    emptying.install()
    _remember_static_files()


def _remember_static_files() -> None:
    """Every client of a test makes the middleware anew, which reads five hundred files' sizes and dates."""
    read = WhiteNoiseMiddleware.add_files_from_finders
    found: dict[str, Any] = {}

    def remembered(self: WhiteNoiseMiddleware) -> None:
        if not found:
            before = dict(self.files)
            read(self)
            found.update({url: file for url, file in self.files.items() if url not in before})
        self.files.update(found)

    WhiteNoiseMiddleware.add_files_from_finders = remembered


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch):
    """What one test's process remembers is news to the next; and nothing is written behind a test's back."""
    keys.forget()
    backlog.forget()
    numbers_owned.forget()
    keys._noted.clear()
    keys._unwritten.clear()
    monkeypatch.setattr(keys, "_write_uses_soon", lambda: None)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup):
    """The throttle has a connection of its own, which would keep the database from being dropped."""
    yield
    throttling.forget()


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch):
    """Any other network use in a test is an error."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if host is not None and not _is_loopback(host):
            raise AssertionError(f"a test tried to reach {host}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture
def together():
    """Run a function in so many threads at once; the results, in no order. Exceptions are raised here."""

    def run(function: Any, times: int) -> list[Any]:
        from django.db import connection

        gate = threading.Barrier(times)
        results: list[Any] = []
        failures: list[BaseException] = []

        def one(number: int) -> None:
            try:
                gate.wait()
                results.append(function(number))
            except BaseException as error:
                failures.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=one, args=(number,)) for number in range(times)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return results

    return run
