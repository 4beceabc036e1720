"""RCS Business Messaging: texts, files, cards. Source: Google's reference of the RCS for Business API, v1:
"phones.agentMessages", "phones.getCapabilities"; its guide "Send messages".

Beside those of every HTTP operator (:mod:`routing.transports.http_engine`), with their defaults::

    agent_id         required     the agent's, from the developer console
    url              https://rcsbusinessmessaging.googleapis.com, or a region's: https://europe-rcsbusiness…
    traffic_type     none         AUTHENTICATION | TRANSACTION | PROMOTION | SERVICEREQUEST | ACKNOWLEDGEMENT
    capability_check false        ask of each recipient whether it can be reached, before the first message to it
    capability_hours 4            so long what was answered is believed
    suggestions      {}           by a template's name, the replies and actions offered below its text: a list in
                                  Google's form, with places as in :mod:`routing.transports.http_template`
    errors           {}           ``error.status`` or HTTP status → meanings, as of
                                  :mod:`routing.transports.http_generic`, before those here

``secrets``: ``service_account``, the key file's JSON, or ``token``, a bearer token, as in
:mod:`routing.transports.rcs_auth`; what comes back is :mod:`routing.transports.rcs_intake`'s.

A message's id is made of ours and of what is sent: the same message sent again, after an answer was missed, is known
there, and not shown twice. A template is sent as the text that it makes. A picture's or video's caption makes a card
of both; other files have none.
"""

import asyncio
import dataclasses
import uuid
from datetime import UTC
from typing import Any
from urllib.parse import urlencode

import msgspec

from routing.contract import OperatorSettings, Outbound
from routing.transports import http_answers, http_rules, http_template, rcs_auth, rcs_content, rcs_intake
from routing.transports.http_answers import Meaning, Reading
from routing.transports.http_client import Answer, Client, NotSentError, Request
from routing.transports.http_engine import HttpTransport
from routing.transports.http_paths import Path
from routing.transports.http_settings import Reader
from routing.transports.rcs_capabilities import Capabilities

URL = "https://rcsbusinessmessaging.googleapis.com"
TRAFFIC_TYPES = ("AUTHENTICATION", "TRANSACTION", "PROMOTION", "SERVICEREQUEST", "ACKNOWLEDGEMENT")
UNREACHABLE = "RECIPIENT_NOT_REACHABLE"
_STATUS, _REASON = Path("error.status", setting=""), Path("error.details.*.reason", setting="")

# By error.status; what is not here is by the HTTP status.
ERRORS: dict[str, tuple[Meaning, str | None]] = {
    # No RCS on the handset, or the agent is not launched on its network.
    "NOT_FOUND": (Meaning.PERMANENT, UNREACHABLE),
    "INVALID_ARGUMENT": (Meaning.PERMANENT, None),
    "FAILED_PRECONDITION": (Meaning.PERMANENT, None),
    # Of one recipient, unless `error.details` say that it is of us all.
    "PERMISSION_DENIED": (Meaning.PERMANENT, None),
    "UNAUTHENTICATED": (Meaning.BARRED, None),
    "RESOURCE_EXHAUSTED": (Meaning.THROTTLED, None),
    "UNAVAILABLE": (Meaning.TEMPORARY, None),
    "ABORTED": (Meaning.TEMPORARY, None),
    "CANCELLED": (Meaning.UNKNOWN, None),
}
# Reasons of a PERMISSION_DENIED that no recipient is the cause of. Source: google.api.ErrorReason.
OURS = frozenset(
    {
        "SERVICE_DISABLED",
        "BILLING_DISABLED",
        "CONSUMER_INVALID",
        "CONSUMER_SUSPENDED",
        "USER_PROJECT_DENIED",
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "ACCOUNT_STATE_INVALID",
        "IAM_PERMISSION_DENIED",
        "SECURITY_POLICY_VIOLATED",
    }
)


class RcsTransport(HttpTransport):
    def __init__(self, operator: OperatorSettings) -> None:
        reader = Reader(operator)
        url = reader.url("url", URL).rstrip("/")
        super().__init__(operator, reader, url=url)
        self._phones = f"{url}/v1/phones"
        self._agent = rcs_intake.agent_id(reader)
        self._traffic_type = reader.choice("traffic_type", ("", *TRAFFIC_TYPES), "")
        self._suggestions = _suggestions(reader)
        self._errors = http_rules.errors(reader)
        self._tokens = rcs_auth.read(reader)
        self._capabilities = _capabilities(reader, self._phones, self._agent)
        rcs_intake.read(reader)
        reader.done()

    def request(self, message: Outbound) -> Request:
        offered = self._offered(message) if self._suggestions else []
        told: dict[str, Any] = {"contentMessage": rcs_content.of(message, suggestions=offered)}
        if self._traffic_type:
            told["messageTrafficType"] = self._traffic_type
        if message.expires_at is not None:
            moment = message.expires_at.astimezone(UTC)
            told["expireTime"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = msgspec.json.encode(told)
        query = urlencode({"messageId": _message_id(message, body), "agentId": self._agent})
        return Request("POST", f"{self._phones}/{message.recipient}/agentMessages?{query}", {}, body)

    async def converse(self, message: Outbound, request: Request, client: Client) -> tuple[Answer, Reading]:
        try:
            headers = await self._tokens.headers(client)
            refusal = None
            if self._capabilities is not None:
                refusal = await self._capabilities.refusal(message.recipient, headers, client)
        except asyncio.CancelledError as error:
            raise NotSentError("stopped before it was sent") from error
        if refusal is not None:
            return self._settled(refusal, request, headers)
        answer = await client.send(dataclasses.replace(request, headers=headers))
        settled = self._settled(answer, request, headers)
        if self._capabilities is not None and settled[1].error_code == UNREACHABLE:
            self._capabilities.unreachable(message.recipient)
        return settled

    def ids(self, request: Request) -> tuple[str, ...]:
        return (request.url.partition("messageId=")[2][:36],)

    def read(self, answer: Answer) -> Reading:
        """What an answer means; the message's id is its request's."""
        if 200 <= answer.status < 300:
            return Reading(Meaning.ACCEPTED)
        document = http_answers.document(answer)
        code = _STATUS.first(document)
        shown = (code or f"HTTP {answer.status}")[: http_rules.LONGEST_CODE]
        if code == "PERMISSION_DENIED" and not OURS.isdisjoint(_REASON.texts(document)):
            return Reading(Meaning.BARRED, code=shown)
        own = self._errors.get(code or "") or self._errors.get(str(answer.status))
        known = own or ERRORS.get(code or "")
        meaning, error_code = known or (http_answers.by_status(answer), None)
        return Reading(meaning, code=shown, error_code=error_code)

    def _offered(self, message: Outbound) -> list[Any]:
        name = str(((message.content or {}).get("template") or {}).get("name"))
        made: list[Any] = http_template.filled(self._suggestions.get(name, []), message)
        return made

    def _settled(self, answer: Answer, request: Request, headers: rcs_auth.Headers) -> tuple[Answer, Reading]:
        if answer.status == 401:
            self._tokens.refused(headers)
        reading = self.read(answer)
        if reading.meaning is Meaning.ACCEPTED or reading.code == "ALREADY_EXISTS":
            # It may have the message of a try before, whose answer was missed.
            return answer, Reading(Meaning.ACCEPTED, self.ids(request))
        if reading.meaning is Meaning.UNKNOWN:
            return answer, dataclasses.replace(reading, remote_ids=self.ids(request))
        return answer, reading


def _message_id(message: Outbound, body: bytes) -> str:
    """A UUID, as the reference asks for: the same for the same message with the same content."""
    return str(uuid.uuid5(message.message_id, body.decode()))


def _capabilities(reader: Reader, phones: str, agent: str) -> Capabilities | None:
    hours = reader.number("capability_hours", 4, least=0.01, most=744)
    if not reader.flag("capability_check", default=False):
        return None
    return Capabilities(phones=phones, agent=agent, seconds=hours * 3600)


def _suggestions(reader: Reader) -> dict[str, Any]:
    given = reader.any("suggestions")
    if given is None:
        return {}
    most = rcs_content.MOST_SUGGESTIONS
    if not isinstance(given, dict) or not all(
        isinstance(each, list) and len(each) <= most and all(isinstance(one, dict) for one in each)
        for each in given.values()
    ):
        raise reader.wrong(
            "suggestions",
            f"an object: a template's name → a list of at most {most} suggestions, objects each",
        )
    operator = reader.operator
    made: dict[str, Any] = http_template.shape(
        given, setting=f"{operator.slug}: suggestions", secrets=operator.secrets
    )
    return made
