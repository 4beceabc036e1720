"""An API client that does what the contract asks of it: try again, with the same clientMessageId."""

import http.client
import json
import queue
import threading
import time
from collections import Counter, defaultdict

PAUSE_SECONDS = 0.1
PATIENCE_SECONDS = 60.0


class Traffic:
    """`count` messages to distinct recipients with distinct texts, submitted in bulk calls from threads.

    As a context manager: submission begins with the block and has ended after it.

    Attributes:
        ids: clientMessageId → the ids that 200 answers gave for it; one each, or something is wrong.
        troubles: what else came, by kind.
    """

    def __init__(self, *, port, key, smsc, first, count, per_call=100, seconds=1.5, threads=3):
        self.port, self.key, self.smsc = port, key, smsc
        self.first, self.count = first, count
        self.ids = defaultdict(set)
        self.troubles = Counter()
        self._before = smsc.orders("stats")["accepted"]
        self._calls = queue.SimpleQueue()
        starts = range(0, count, per_call)
        began = time.monotonic()
        for number, start in enumerate(starts):
            due = began + seconds * number / len(starts)
            self._calls.put((due, range(first + start, first + min(start + per_call, count))))
        self._threads = [threading.Thread(target=self._submit, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *rest):
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        alive = sum(thread.is_alive() for thread in self._threads)
        assert kind or not alive, (
            f"the API has not taken everything in {PATIENCE_SECONDS:.0f} s: {self.troubles}"
        )

    @property
    def recipients(self):
        return [recipient(number) for number in range(self.first, self.first + self.count)]

    def await_answered(self, share=1 / 3):
        """Until the API has said yes to this share."""
        self._await(lambda: len(self.ids) >= share * self.count, "accepted by the API")

    def await_submitted(self, share=1 / 3):
        """Until the SMSC has got this share."""
        wanted = self._before + share * self.count
        self._await(lambda: self.smsc.orders("stats")["accepted"] >= wanted, "submitted to the SMSC")

    def _await(self, reached, words):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            assert time.monotonic() < deadline, f"not enough was {words}; {self.troubles}"
            time.sleep(0.005)

    def _submit(self):
        connection = None
        while True:
            try:
                due, numbers = self._calls.get_nowait()
            except queue.Empty:
                break
            time.sleep(max(0.0, due - time.monotonic()))
            body = json.dumps({"messages": [message(number) for number in numbers]})
            connection = self._until_accepted(connection, body)
        if connection is not None:
            connection.close()

    def _until_accepted(self, connection, body):
        """Post until there is a 200; the connection to go on with."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        while True:
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
            try:
                connection.request("POST", "/v1/messages/bulk", body, headers)
                answer = connection.getresponse()
                text, status = answer.read(), answer.status
            except (OSError, http.client.HTTPException) as error:
                self.troubles[type(error).__name__] += 1
                connection.close()
                connection = None
            else:
                if status == 200:
                    self._note(json.loads(text))
                    return connection
                self.troubles[
                    f"{status} {text[:200]!r}" if status not in {429, 500, 502, 503} else status
                ] += 1
            time.sleep(PAUSE_SECONDS)

    def _note(self, answer):
        for result in answer["results"]:
            if "id" in result:
                self.ids[result["clientMessageId"]].add(result["id"])
            else:
                self.troubles[f"refused: {result['error']['errorCode']}"] += 1


def recipient(number):
    return f"+3361{number:07d}"


def message(number):
    return {
        "to": recipient(number),
        "from": "ACME",
        "clientMessageId": f"client-{number}",
        "content": {"text": f"Your order {number} has left our house."},
    }
