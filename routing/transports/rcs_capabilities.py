"""Whether recipients can be reached by RCS, as Google said of each in the last hours.

Source: Google's reference of the RCS for Business API, "phones.getCapabilities".
"""

import asyncio
import itertools
import time
import uuid
from urllib.parse import urlencode

from routing.transports import http_answers
from routing.transports.http_client import Answer, Client, NoAnswerError, Request
from routing.transports.http_paths import Path
from routing.transports.rcs_auth import Headers

# Recipients remembered; when there are more the longest known go.
ROOM = 100_000
_STATUS = Path("error.status", setting="")
# One for all: Google's own is some hundred octets, and a proxy's 404 has nothing to say of a recipient.
_UNREACHABLE = Answer(404, b'{"error":{"code":404,"status":"NOT_FOUND"}}')


class Capabilities:
    """One agent's. Used on the loop; a recipient is asked about once at a time."""

    def __init__(self, *, phones: str, agent: str, seconds: float, room: int = ROOM) -> None:
        self._phones = phones
        self._agent = agent
        self._seconds = seconds
        self._room = room
        # What was answered, None for reachable, and until when it is believed.
        self._known: dict[str, tuple[Answer | None, float]] = {}
        self._asking: dict[str, asyncio.Task[Answer | None]] = {}

    async def refusal(self, recipient: str, headers: Headers, client: Client) -> Answer | None:
        """The answer that says that the recipient cannot be sent to; None where it can, or nobody knows.

        Raises:
            NotSentError: no connection.
        """
        known = self._known.get(recipient)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        task = self._asking.get(recipient)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(recipient, headers, client))
            self._asking[recipient] = task
            task.add_done_callback(lambda done: self._answered(recipient, done))
        return await asyncio.shield(task)

    def unreachable(self, recipient: str) -> None:
        """A message to the recipient was answered so."""
        self._remember(recipient, _UNREACHABLE)

    def _answered(self, recipient: str, task: asyncio.Task[Answer | None]) -> None:
        self._asking.pop(recipient, None)
        if not task.cancelled():
            # Those who waited may all be gone.
            task.exception()

    async def _ask(self, recipient: str, headers: Headers, client: Client) -> Answer | None:
        query = urlencode({"requestId": str(uuid.uuid4()), "agentId": self._agent})
        url = f"{self._phones}/{recipient}/capabilities?{query}"
        try:
            answer = await client.send(Request("GET", url, headers))
        except NoAnswerError:
            # The message itself will show it.
            return None
        if 200 <= answer.status < 300:
            self._remember(recipient, None)
            return None
        if answer.status == 404 and _STATUS.first(http_answers.document(answer)) == "NOT_FOUND":
            self._remember(recipient, _UNREACHABLE)
            return _UNREACHABLE
        return None if answer.status >= 500 else answer

    def _remember(self, recipient: str, refusal: Answer | None) -> None:
        if len(self._known) >= self._room:
            for old in list(itertools.islice(self._known, self._room // 4 + 1)):
                del self._known[old]
        self._known.pop(recipient, None)
        self._known[recipient] = (refusal, time.monotonic() + self._seconds)
