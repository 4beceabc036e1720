"""A message as it comes over HTTP, checked member by member into a :class:`~gateway.storing.Submission`.

Everything that is wrong is collected, each with the path of its member. Limits: text 1,600 characters (WhatsApp
4,096, RCS 3,072), metadata 20 pairs and 4 KiB, callbackUrl 2,048, clientMessageId 255, sendAt 35 days, fallback 5.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway import content, errors, numbers, text
from gateway.api.fields import Faults, is_url, moment
from gateway.errors import Problem
from gateway.keys import Credential
from gateway.storing import Submission

PRIORITIES = {"high": 0, "normal": 1, "bulk": 2}
CHANNELS = content.LONGEST
MEDIA_CHANNELS = frozenset({"whatsapp", "rcs"})
MEDIA_TYPES = frozenset({"image", "video", "audio", "document", "sticker"})
AHEAD = timedelta(days=35)
VALIDITY = range(60, 172_801)
AFTER = range(1, 86_401)
FALLBACKS = 5
PAIRS, METADATA_BYTES = 20, 4096

_sender = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ._&'+-]{1,11}|\+?[0-9]{3,15}")

_fingerprint = msgspec.json.Encoder(order="deterministic").encode


def message(body: Any, *, credential: Credential, key: str | None, now: datetime) -> Submission:
    """The submission that a message's JSON asks for. ``key`` is the request's Idempotency-Key, if any.

    One that has a key and whose template cannot be sent comes back ``refused``: it may repeat a message that was
    made while the template could.

    Raises:
        errors.Problem: with everything that is wrong with it in ``details``.
    """
    faults = Faults()
    if type(body) is not dict:
        faults.add("", "INVALID_TYPE", "A message must be an object.")
        raise faults.problem()
    draft = Submission(tenant_id=credential.tenant_id, recipient="", backlog_limit=credential.backlog_limit)
    for name, value in body.items():
        reader = _READERS.get(name)
        if reader is None:
            faults.add(name, "UNKNOWN_MEMBER", "There is no such member.")
        elif value is not None:
            reader(draft, value, faults)
    _require(body, faults)
    if body.get("content") is not None:
        _content(draft, body["content"], "content", draft.channel, faults)
    if draft.send_at is not None and draft.send_at > now + AHEAD:
        faults.add("sendAt", "OUT_OF_RANGE", "At most 35 days ahead.")
    draft.key = draft.client_message_id or key
    if faults:
        problem = faults.problem()
        if draft.refused is None or draft.key is None or not draft.recipient:
            raise problem
        draft.refused = problem
    if draft.key is not None:
        draft.fingerprint = fingerprint(body)
    return draft


def fingerprint(body: Any) -> bytes:
    """BLAKE2b-128 of a JSON value, whatever the order of its members."""
    return hashlib.blake2b(_fingerprint(body), digest_size=16).digest()


def idempotency_key(given: str | None) -> str | None:
    """The Idempotency-Key header's value.

    Raises:
        errors.Invalid: it is not 1 to 255 printable ASCII characters.
    """
    if given is None:
        return None
    if not 1 <= len(given) <= 255 or not given.isascii() or not given.isprintable():
        faults = Faults()
        faults.add("Idempotency-Key", "INVALID_VALUE", "1 to 255 printable ASCII characters.")
        raise faults.problem()
    return given


def _require(body: dict[str, Any], faults: Faults) -> None:
    for name in ("to", "content"):
        if body.get(name) is None:
            faults.add(name, "REQUIRED", "This member is required.")


def _is_text(value: Any, field: str, faults: Faults) -> bool:
    if type(value) is str:
        return True
    faults.add(field, "INVALID_TYPE", "Must be a string.")
    return False


def _whole(value: Any, field: str, allowed: range, faults: Faults) -> int | None:
    if type(value) is not int:
        faults.add(field, "INVALID_TYPE", "Must be a whole number.")
    elif value not in allowed:
        faults.add(field, "OUT_OF_RANGE", f"From {allowed.start} to {allowed.stop - 1}.")
    else:
        return value
    return None


def _recipient(draft: Submission, value: Any, faults: Faults) -> None:
    if _is_text(value, "to", faults):
        try:
            draft.recipient = numbers.normalise(value)
        except errors.InvalidRecipient as error:
            faults.add("to", error.code, error.message)


def _channel(draft: Submission, value: Any, faults: Faults) -> None:
    if type(value) is str and value in CHANNELS:
        draft.channel = value
    else:
        faults.add("channel", "INVALID_VALUE", f"One of {', '.join(CHANNELS)}.")


def _from(draft: Submission, value: Any, faults: Faults) -> None:
    if _is_text(value, "from", faults):
        if _sender.fullmatch(value):
            draft.sender = value
        else:
            faults.add("from", errors.InvalidSender.code, errors.InvalidSender.message)


def _client_message_id(draft: Submission, value: Any, faults: Faults) -> None:
    if _is_text(value, "clientMessageId", faults):
        if 1 <= len(value) <= 255:
            draft.client_message_id = value
        else:
            faults.add("clientMessageId", "INVALID_LENGTH", "1 to 255 characters.")


def _callback_url(draft: Submission, value: Any, faults: Faults) -> None:
    if _is_text(value, "callbackUrl", faults):
        if is_url(value):
            draft.callback_url = value
        else:
            faults.add("callbackUrl", "INVALID_VALUE", "An http or https URL of at most 2,048 characters.")


def _metadata(draft: Submission, value: Any, faults: Faults) -> None:
    if type(value) is not dict:
        faults.add("metadata", "INVALID_TYPE", "Must be an object of strings.")
        return
    for name, text_ in value.items():
        if type(text_) is not str:
            faults.add(f"metadata.{name}", "INVALID_TYPE", "Must be a string.")
    if len(value) > PAIRS:
        faults.add("metadata", "TOO_MANY", f"At most {PAIRS} pairs.")
    elif len(msgspec.json.encode(value)) > METADATA_BYTES:
        faults.add("metadata", "TOO_LARGE", "At most 4 KiB.")
    draft.metadata = value


def _send_at(draft: Submission, value: Any, faults: Faults) -> None:
    if not _is_text(value, "sendAt", faults):
        return
    draft.send_at = moment(value)
    if draft.send_at is None:
        faults.add("sendAt", "INVALID_VALUE", "ISO 8601 with a time zone: 2026-12-01T09:00:00Z.")


def _validity(draft: Submission, value: Any, faults: Faults) -> None:
    draft.validity_seconds = _whole(value, "validitySeconds", VALIDITY, faults)


def _priority(draft: Submission, value: Any, faults: Faults) -> None:
    if type(value) is str and value in PRIORITIES:
        draft.priority = PRIORITIES[value]
    else:
        faults.add("priority", "INVALID_VALUE", f"One of {', '.join(PRIORITIES)}.")


def _fallback(draft: Submission, value: Any, faults: Faults) -> None:
    if type(value) is not list:
        faults.add("fallback", "INVALID_TYPE", "Must be an array.")
        return
    if len(value) > FALLBACKS:
        faults.add("fallback", "TOO_MANY", f"At most {FALLBACKS}.")
    for index, step in enumerate(value[:FALLBACKS]):
        _step(draft, step, f"fallback[{index}]", faults)
    draft.fallback = value or None


def _step(whole: Submission, step: Any, path: str, faults: Faults) -> None:
    """One fallback of the whole: ``channel``, ``content``, ``from``, ``afterSeconds``."""
    if type(step) is not dict:
        faults.add(path, "INVALID_TYPE", "Must be an object.")
        return
    for name in step.keys() - {"channel", "content", "from", "afterSeconds"}:
        faults.add(f"{path}.{name}", "UNKNOWN_MEMBER", "There is no such member.")
    for name in ("channel", "content"):
        if step.get(name) is None:
            faults.add(f"{path}.{name}", "REQUIRED", "This member is required.")
    inner = Faults()
    draft = Submission(tenant_id=whole.tenant_id, recipient="")
    if step.get("channel") is not None:
        _channel(draft, step["channel"], inner)
    if step.get("from") is not None:
        _from(draft, step["from"], inner)
    if step.get("content") is not None:
        _content(draft, step["content"], "content", draft.channel, inner)
    if step.get("afterSeconds") is not None:
        _whole(step["afterSeconds"], "afterSeconds", AFTER, inner)
    whole.refused = whole.refused or draft.refused
    faults.extend(fault._replace(field=f"{path}.{fault.field}") for fault in inner)


def _content(draft: Submission, value: Any, path: str, channel: str, faults: Faults) -> None:
    """Exactly one of ``text``, ``template`` and ``media``."""
    if type(value) is not dict:
        faults.add(path, "INVALID_TYPE", "Must be an object.")
        return
    for name in value.keys() - _CONTENTS.keys():
        faults.add(f"{path}.{name}", "UNKNOWN_MEMBER", "There is no such member.")
    given = [name for name in _CONTENTS if value.get(name) is not None]
    if len(given) != 1:
        faults.add(path, "INVALID_VALUE", "Exactly one of text, template and media.")
        return
    _CONTENTS[given[0]](draft, value[given[0]], f"{path}.{given[0]}", channel, faults)


def _text(draft: Submission, value: Any, path: str, channel: str, faults: Faults) -> None:
    if not _is_text(value, path, faults):
        return
    if not value:
        faults.add(path, "REQUIRED", "Must not be empty.")
    elif len(value) > CHANNELS[channel]:
        faults.add(path, errors.TextTooLong.code, f"At most {CHANNELS[channel]:,} characters on {channel}.")
    else:
        draft.text = value
        if channel == "sms":
            draft.encoding, draft.parts = text.analyse(value)


def _template(draft: Submission, value: Any, path: str, channel: str, faults: Faults) -> None:
    if type(value) is not dict:
        faults.add(path, "INVALID_TYPE", "Must be an object.")
        return
    for name in value.keys() - {"name", "language", "variables"}:
        faults.add(f"{path}.{name}", "UNKNOWN_MEMBER", "There is no such member.")
    for name in ("name", "language"):
        if name == "name" and value.get(name) is None:
            faults.add(f"{path}.{name}", "REQUIRED", "This member is required.")
        elif value.get(name) is not None:
            _is_text(value[name], f"{path}.{name}", faults)
    if value.get("variables") is not None and type(value["variables"]) is not dict:
        faults.add(f"{path}.variables", "INVALID_TYPE", "Must be an object.")
    if not faults:
        _fill(draft, value, path.removesuffix("template"), channel, faults)


def _fill(draft: Submission, template: dict[str, Any], path: str, channel: str, faults: Faults) -> None:
    """Fill the template in, if nothing else is wrong."""
    try:
        shown = content.resolve(tenant_id=draft.tenant_id, channel=channel, content={"template": template})
    except Problem as problem:
        faults.extend(detail._replace(field=path + detail.field) for detail in problem.details)
        draft.refused = problem
    else:
        draft.text, draft.content, draft.encoding, draft.parts = shown


def _media(draft: Submission, value: Any, path: str, channel: str, faults: Faults) -> None:
    if channel not in MEDIA_CHANNELS:
        faults.add(path, "INVALID_VALUE", "Media go over whatsapp and rcs only.")
        return
    if type(value) is not dict:
        faults.add(path, "INVALID_TYPE", "Must be an object.")
        return
    for name in value.keys() - {"url", "id", "type", "caption", "filename"}:
        faults.add(f"{path}.{name}", "UNKNOWN_MEMBER", "There is no such member.")
    url, kind, caption = value.get("url"), value.get("type"), value.get("caption")
    if (kept := value.get("id")) is not None and channel == "whatsapp":
        if url is not None or type(kept) is not str or not 1 <= len(kept) <= 255:
            faults.add(f"{path}.id", "INVALID_VALUE", "A text of at most 255 characters, in place of url.")
    elif kept is not None:
        faults.add(f"{path}.id", "INVALID_VALUE", "Media are known by an id over whatsapp only.")
    elif type(url) is not str or not is_url(url):
        faults.add(f"{path}.url", "INVALID_VALUE", "An http or https URL of at most 2,048 characters.")
    filename = value.get("filename")
    if filename is not None and (
        kind != "document" or type(filename) is not str or not 1 <= len(filename) <= 240
    ):
        faults.add(f"{path}.filename", "INVALID_VALUE", "A document's: at most 240 characters.")
    if type(kind) is not str or kind not in MEDIA_TYPES:
        faults.add(f"{path}.type", "INVALID_VALUE", f"One of {', '.join(sorted(MEDIA_TYPES))}.")
    if caption is not None and (type(caption) is not str or len(caption) > 1024):
        faults.add(f"{path}.caption", "INVALID_VALUE", "A string of at most 1,024 characters.")
    draft.content = {"media": value}


def _later(draft: Submission, value: Any, faults: Faults) -> None:
    """Content is read when the channel is known."""


_CONTENTS: dict[str, Callable[[Submission, Any, str, str, Faults], None]] = {
    "text": _text,
    "template": _template,
    "media": _media,
}
_READERS: dict[str, Callable[[Submission, Any, Faults], None]] = {
    "to": _recipient,
    "channel": _channel,
    "content": _later,
    "from": _from,
    "clientMessageId": _client_message_id,
    "callbackUrl": _callback_url,
    "metadata": _metadata,
    "sendAt": _send_at,
    "validitySeconds": _validity,
    "priority": _priority,
    "fallback": _fallback,
}
MEMBERS = frozenset(_READERS)
