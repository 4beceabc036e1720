"""The listener that receives callbacks."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from standardwebhooks import Webhook

from deploy import listener

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def callback(identifier="msg_1", body='{"type":"message.delivered"}', *, secret=SECRET, at=None):
    """Headers signed by the reference implementation, and the body."""
    moment = at or datetime.now(tz=UTC)
    signature = Webhook(secret).sign(identifier, moment, body)
    stamp = str(int(moment.timestamp()))
    headers = {"webhook-id": identifier, "webhook-timestamp": stamp, "webhook-signature": signature}
    return {"headers": headers, "data": body}


def exchange(talk, **settings):
    """Run `talk(session, url)` against a listener; gives what the listener has received."""

    async def run():
        received = listener.Received(listener.key(SECRET), **settings)
        server = await listener.listen(received)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with aiohttp.ClientSession() as session:
            await talk(session, url)
        server.close()
        await server.wait_closed()
        return received

    return asyncio.run(run())


def statuses(*callbacks):
    """The status of the answer to each callback, and what was received."""
    answers = []

    async def talk(session, url):
        for each in callbacks:
            async with session.post(url, **each) as answer:
                answers.append(answer.status)

    received = exchange(talk)
    return answers, received


def test_it_answers_204_to_a_right_signature_and_notes_the_arrival():
    answers, received = statuses(callback("msg_1"), callback("msg_2"))
    assert answers == [204, 204]
    assert received.counts() == {"verified": 2, "refused": 0, "duplicates": 0}
    assert list(received.arrivals) == ["msg_1", "msg_2"]


@pytest.mark.parametrize(
    "wrong",
    [
        callback(secret="whsec_" + base64.b64encode(b"x" * 32).decode()),
        callback(at=datetime.now(tz=UTC) - timedelta(minutes=6)),
        {**callback(), "data": "{}"},
        {"data": "{}"},
    ],
    ids=["another secret", "too old", "another body", "unsigned"],
)
def test_it_refuses(wrong):
    answers, received = statuses(wrong)
    assert answers == [401]
    assert received.counts() == {"verified": 0, "refused": 1, "duplicates": 0}


def test_it_accepts_one_right_signature_among_several():
    signed = callback()
    signed["headers"]["webhook-signature"] = "v1,AAAA v1a,BBBB " + signed["headers"]["webhook-signature"]
    assert statuses(signed)[0] == [204]


def test_it_counts_a_callback_that_comes_twice():
    answers, received = statuses(callback(), callback())
    assert answers == [204, 204]
    assert received.counts() == {"verified": 2, "refused": 0, "duplicates": 1}


def test_it_shows_its_counts():
    shown = []

    async def talk(session, url):
        await session.post(url, **callback())
        async with session.get(url) as answer:
            shown.append(json.loads(await answer.text()))

    exchange(talk)
    assert shown == [{"verified": 1, "refused": 0, "duplicates": 0}]


def test_it_reads_pieces_and_several_requests_at_once():
    signed = callback()
    head = "".join(f"{name}: {value}\r\n" for name, value in signed["headers"].items())
    raw = f"POST / HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(signed['data'])}\r\n\r\n{signed['data']}"

    async def talk(_session, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2].strip("/")))
        for byte in raw.encode():
            writer.write(bytes([byte]))
            await writer.drain()
        writer.write(raw.encode() * 2)
        for _ in range(3):
            assert await reader.readuntil(b"\r\n\r\n") == listener.NO_CONTENT
        writer.close()
        await writer.wait_closed()

    assert exchange(talk).verified == 3


def test_it_forgets_the_oldest_arrivals():
    async def talk(session, url):
        for number in range(25):
            async with session.post(url, **callback(f"msg_{number}")):
                pass

    received = exchange(talk, keep=10)
    assert received.verified == 25
    assert len(received.arrivals) <= 10
    assert "msg_24" in received.arrivals
