"""What a request may say of a webhook (contract §2, and ours): read to columns, and what does not go together.

Pure. A member that is given as an empty text, or as an empty object, has been taken away; null is not given at all.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from gateway.errors import Detail
from webhooks import catalogue, signing, targets, velocity
from webhooks.errors import InvalidTarget
from webhooks.models import Webhook

METHODS: Final = ("GET", "POST", "PATCH", "PUT", "DELETE")
ENCODINGS: Final = ("JSON", "FORM_ENCODED", "XML")
FORMATS: Final = ("standard", "messagemedia", "octopush")
POLICIES: Final = ("exponential", "fixed")
LONGEST_URL = 1000
LONGEST_HEADER_NAME = 200
LONGEST_HEADER_VALUE = 1000
MOST_HEADERS = 50
LONGEST_TEXT = 64 * 1024
# Events in one POST, and milliseconds that one waits for others: least, most, and where only the other is given.
BATCH_EVENTS: Final = (2, 1000, 100)
BATCH_DELAY: Final = (1, 10_000, 1000)
# name: (least, most); what only creation takes, as MessageMedia has it.
NUMBERS: Final = {"read_timeout": (1, 60_000), "retries": (0, 5), "retry_delay": (5, 60)}
# What a webhook may name.
EVENTS: Final = (*sorted(catalogue.OWN), *sorted(catalogue.MESSAGEMEDIA))
REQUIRED: Final = ("url", "method", "encoding", "events")


def read(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Detail]]:
    """The members that both creation and change take, as columns, and what is wrong with them."""
    values: dict[str, Any] = {}
    wrong: list[Detail] = []
    for name, reader in _READERS.items():
        if name in given:
            try:
                values |= {_COLUMNS.get(name, name): reader(given[name])}
            except ValueError as error:
                wrong.append(Detail(name, "INVALID", f"{name} {error}."))
    if "batch" in values:
        values["batch_max_events"], values["batch_max_delay_ms"] = values.pop("batch")
    return values, wrong


def missing(given: Mapping[str, Any]) -> list[Detail]:
    """What creation cannot do without."""
    return [Detail(name, "REQUIRED", f"{name} is required.") for name in REQUIRED if name not in given]


def schedule(given: Mapping[str, Any]) -> tuple[dict[str, int], list[Detail]]:
    """``read_timeout``, ``retries``, ``retry_delay`` as columns, and what is wrong with them or ``retryPolicy``.

    Retries that are given make the policy ``fixed``; ``exponential`` beside 0 retries, as a webhook is shown, is
    the exponential one.
    """
    values, wrong = _numbers(given)
    policy, retries = given.get("retryPolicy"), values.get("retries")
    if policy is not None and policy not in POLICIES:
        wrong.append(Detail("retryPolicy", "INVALID", f"retryPolicy must be one of {', '.join(POLICIES)}."))
    elif policy == "exponential" and retries:
        sentence = "retries cannot go with retryPolicy exponential."
        wrong.extend(Detail(name, "INVALID", sentence) for name in ("retryPolicy", "retries"))
    elif policy == "exponential":
        values.pop("retries", None)
    elif policy == "fixed" and retries is None:
        wrong.append(Detail("retries", "REQUIRED", "retries is required with retryPolicy fixed."))
    return values, wrong


def secret(given: Mapping[str, Any]) -> tuple[str, list[Detail]]:
    """The secret that a client brings, or a fresh one; and what is wrong with it."""
    value = given.get("secret")
    if value is None:
        return signing.new_secret(), []
    if not _is_secret(value):
        return "", [Detail("secret", "INVALID", "secret must be whsec_ and 24 to 64 bytes in base64.")]
    return str(value), []


def _is_secret(value: Any) -> bool:
    if not isinstance(value, str) or not value.startswith("whsec_"):
        return False
    try:
        signing.key(value)
    except ValueError:
        return False
    return True


def clashes(webhook: Webhook, *, given: Collection[str]) -> list[Detail]:
    """What of a webhook does not go together, said of each member that was given."""
    found: list[tuple[str, str, str]] = []
    if webhook.failover_url == webhook.url:
        found.append(("failoverUrl", "url", "failoverUrl must be another than url."))
    if webhook.batch_max_events is not None:
        found += _clashing("batch", "batch", _NOT_BATCHED, webhook)
    if webhook.format == "octopush":
        found += _clashing("format", "format octopush", _NOT_OCTOPUSH, webhook)
    return [
        Detail(name, "INVALID", sentence)
        for one, other, sentence in found
        for name in (one, other)
        if name in given
    ]


_Rules = tuple[tuple[str, str, Callable[[Webhook], bool]], ...]


def _clashing(name: str, words: str, rules: _Rules, webhook: Webhook) -> list[tuple[str, str, str]]:
    return [
        (name, member, f"{words} cannot go with {what}.") for member, what, is_so in rules if is_so(webhook)
    ]


_NOT_BATCHED: _Rules = (
    ("template", "a template", lambda webhook: webhook.template is not None),
    ("method", "method GET or DELETE", lambda webhook: webhook.method in {"GET", "DELETE"}),
    ("encoding", "an encoding other than JSON", lambda webhook: webhook.encoding != "JSON"),
    ("format", "a format other than standard", lambda webhook: webhook.format != "standard"),
    ("ordered", "ordered", lambda webhook: webhook.ordered),
)
_NOT_OCTOPUSH: _Rules = (
    ("method", "a method other than POST", lambda webhook: webhook.method != "POST"),
    ("encoding", "encoding XML", lambda webhook: webhook.encoding == "XML"),
    ("template", "a template", lambda webhook: webhook.template is not None),
)


def _url(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_URL:
        raise ValueError(f"must be an http:// or https:// URL of at most {LONGEST_URL} characters")
    try:
        targets.read(url=value)
        velocity.check_url(value)
    except (InvalidTarget, velocity.TemplateError) as error:
        raise ValueError(f"is not usable: {error}") from error
    # A unique index holds it, and an index entry has its limit in bytes.
    if len(value.encode()) > 2 * LONGEST_URL:
        raise ValueError("must have its other than ASCII characters percent-encoded")
    return value


def _failover(value: Any) -> str | None:
    return None if value == "" else _url(value)


def _template(value: Any) -> str | None:
    text = _text(value)
    if text is not None:
        try:
            velocity.check(text)
        except velocity.TemplateError as error:
            raise ValueError(f"is not usable: {error}") from error
    return text


def _text(value: Any) -> str | None:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(f"must be a string of at most {LONGEST_TEXT:,} characters")
    return value or None


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def reader(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    return reader


def _events(value: Any) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError("must be a list of at least one event's name")
    unknown = [name for name in value if not catalogue.is_known(name)]
    if unknown:
        raise ValueError(f"has an unknown name: {unknown[0][:50]}")
    return list(dict.fromkeys(value))


def _headers(value: Any) -> dict[str, str]:
    """Some clients serialise an empty map as a list."""
    if value == []:
        return {}
    if not isinstance(value, dict) or len(value) > MOST_HEADERS:
        raise ValueError(f"must be an object of at most {MOST_HEADERS} header names and values")
    for name, text in value.items():
        _header(name, text)
    return value


def _header(name: str, value: Any) -> None:
    if not isinstance(value, str) or len(name) > LONGEST_HEADER_NAME or len(value) > LONGEST_HEADER_VALUE:
        raise ValueError(
            f"must have names of at most {LONGEST_HEADER_NAME} and values of at most {LONGEST_HEADER_VALUE}"
            " characters"
        )
    if name.lower() == "content-type":
        raise ValueError("must not have Content-Type, which follows from encoding")
    try:
        targets.check_header(name=name, value=value)
    except InvalidTarget as error:
        raise ValueError(f"cannot be sent: {error}") from error


def _batch(value: Any) -> tuple[int, int] | tuple[None, None]:
    if not isinstance(value, dict) or value.keys() - {"maxEvents", "maxDelayMs"}:
        raise ValueError("must be an object of maxEvents and maxDelayMs")
    if _is_whole(value.get("maxEvents"), 1, 1) or all(number is None for number in value.values()):
        return None, None
    return (
        _within("maxEvents", value.get("maxEvents"), BATCH_EVENTS),
        _within("maxDelayMs", value.get("maxDelayMs"), BATCH_DELAY),
    )


def _within(name: str, value: Any, bounds: tuple[int, int, int]) -> int:
    least, most, default = bounds
    if value is None:
        return default
    if not _is_whole(value, least, most):
        raise ValueError(f"must have as {name} a whole number from {least} to {most:,}")
    return int(value)


def _flag(value: Any) -> bool:
    if value is not True and value is not False:
        raise ValueError("must be true or false")
    return bool(value)


_COLUMNS = {"failoverUrl": "failover_url"}
_READERS: dict[str, Callable[[Any], Any]] = {
    "url": _url,
    "method": _one_of(METHODS),
    "encoding": _one_of(ENCODINGS),
    "events": _events,
    "headers": _headers,
    "template": _template,
    "format": _one_of(FORMATS),
    "failoverUrl": _failover,
    "batch": _batch,
    "ordered": _flag,
    "description": _text,
    "active": _flag,
}
CHANGEABLE: Final = _READERS.keys()


def _numbers(given: Mapping[str, Any]) -> tuple[dict[str, int], list[Detail]]:
    values: dict[str, int] = {}
    wrong: list[Detail] = []
    for name, (least, most) in NUMBERS.items():
        value = given.get(name)
        if value is None:
            continue
        if _is_whole(value, least, most):
            values[name] = value
        else:
            message = f"{name} must be a whole number from {least} to {most}."
            wrong.append(Detail(name, "INVALID", message))
    return values, wrong


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
