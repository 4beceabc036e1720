"""One running system shared by the tests of a broker; each test begins when it is calm.

With ``-n 2 --dist loadfile`` the tests of a file share one: to start it costs ten seconds of a processor.
"""

import pytest

from tests.pipeline import rabbit
from tests.pipeline.stack import Stack


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory):
    if not rabbit.installed():
        pytest.skip("rabbitmq-server is not installed")
    with rabbit.Rabbit(tmp_path_factory.mktemp("rabbit")) as node:
        yield node


@pytest.fixture(scope="session")
def running(request, tmp_path_factory):
    """The stack on the broker that the test asks for: "embedded" or "rabbitmq"."""
    broker = request.getfixturevalue("rabbitmq") if request.param == "rabbitmq" else None
    with Stack(tmp_path_factory.mktemp("stack"), broker=broker) as stack:
        yield stack


@pytest.fixture
def stack(running):
    running.await_calm()
    return running
