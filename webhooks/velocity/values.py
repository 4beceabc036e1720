"""What a template may hold, and what it may ask of it. Pure.

Closed on purpose: a member is looked up in the tables here and nowhere else, so that no attribute of a Python object
is ever reached, whatever its name.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote
from xml.sax.saxutils import escape as escape_xml

from webhooks.velocity.errors import TemplateError

# Characters: of what a template gives, and of any text on the way there.
MOST_OUTPUT = 256 * 1024
# A number stays what Java calls a long.
_MOST_NUMBER = 2**63


@dataclass(frozen=True, slots=True)
class List:
    """``weight``: about the characters that it comes to as text."""

    items: "tuple[Value, ...]"
    weight: int


@dataclass(frozen=True, slots=True)
class Map:
    """From names to texts: a message's metadata."""

    items: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Record:
    """Something with named members: an entry of a map, an attachment, the state of a loop."""

    members: "Mapping[str, Value]"


class Escape:
    """``$esc``."""


Value = None | bool | int | str | List | Map | Record | Escape
Method = Callable[..., Value]

ESCAPE = Escape()


def listed(items: "tuple[Value, ...]") -> List:
    """Raises TemplateError: it comes to too much text."""
    weight = sum(_weight(item) for item in items)
    if weight > MOST_OUTPUT:
        raise TemplateError("a list in the template becomes too long")
    return List(items, weight)


def _weight(value: Value) -> int:
    if isinstance(value, List):
        return value.weight + 4
    return len(value) + 2 if isinstance(value, str) else 24


def number(value: int) -> int:
    """Raises TemplateError: it is too large."""
    if not -_MOST_NUMBER <= value < _MOST_NUMBER:
        raise TemplateError("a number in the template becomes too large")
    return value


def text(value: Value) -> str:
    """As Java would print it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, List):
        return f"[{', '.join(text(item) for item in value.items)}]"
    if isinstance(value, Map):
        return f"{{{', '.join(f'{key}={item}' for key, item in value.items.items())}}}"
    if isinstance(value, Record):
        return "=".join(text(item) for item in value.members.values())
    return ""


def member(value: Value, name: str) -> Value:
    """What ``$value.name`` is; None for nothing."""
    if isinstance(value, Record):
        return value.members.get(name)
    if isinstance(value, Map):
        return value.items.get(name)
    return None


def call(value: Value, name: str, arguments: list[Value]) -> Value:
    """What ``$value.name(…)`` gives; None for nothing, which it also is where an argument is nothing."""
    if isinstance(value, Record) and not arguments:
        return value.members.get(_GETTERS.get(name, name))
    method = _METHODS.get((type(value), name, len(arguments)))
    if method is None or None in arguments:
        return False if method is not None and name == "equals" else None
    return method(value, *arguments)


def element(value: Value, index: Value) -> Value:
    """What ``$value[index]`` is; None for nothing."""
    if isinstance(value, Map):
        return value.items.get(text(index))
    if isinstance(value, List) and type(index) is int and -len(value.items) <= index < len(value.items):
        return value.items[index]
    return None


def is_true(value: Value) -> bool:
    """Only nothing and false are not: an empty text is."""
    return value is not None and value is not False


def _entries(value: Map) -> List:
    return listed(tuple(Record({"key": key, "value": item}) for key, item in value.items.items()))


def _replace(value: str, old: Value, new: Value) -> str:
    found, put = text(old), text(new)
    if len(value) + value.count(found) * (len(put) - len(found)) > MOST_OUTPUT:
        raise TemplateError("a text in the template becomes too long")
    return value.replace(found, put)


def _substring(value: str, begin: Value, end: Value = None) -> Value:
    last = len(value) if end is None else end
    if type(begin) is not int or type(last) is not int or not 0 <= begin <= last <= len(value):
        return None
    return value[begin:last]


def _json(_escape: Escape, value: Value) -> str:
    return json.dumps(text(value), ensure_ascii=False)[1:-1]


def _xml(_escape: Escape, value: Value) -> str:
    return escape_xml(text(value), {'"': "&quot;", "'": "&apos;"})


def _url(_escape: Escape, value: Value) -> str:
    return quote(text(value), safe="")


# By type, name and number of arguments.
_METHODS: dict[tuple[type, str, int], Method] = {
    (Map, "get", 1): lambda value, key: value.items.get(text(key)),
    (Map, "containsKey", 1): lambda value, key: text(key) in value.items,
    (Map, "keySet", 0): lambda value: listed(tuple(value.items)),
    (Map, "values", 0): lambda value: listed(tuple(value.items.values())),
    (Map, "entrySet", 0): _entries,
    (Map, "size", 0): lambda value: len(value.items),
    (Map, "isEmpty", 0): lambda value: not value.items,
    (List, "get", 1): element,
    (List, "size", 0): lambda value: len(value.items),
    (List, "isEmpty", 0): lambda value: not value.items,
    (List, "contains", 1): lambda value, item: any(text(item) == text(each) for each in value.items),
    (str, "length", 0): len,
    (str, "isEmpty", 0): lambda value: not value,
    (str, "equals", 1): lambda value, other: value == text(other),
    (str, "equalsIgnoreCase", 1): lambda value, other: value.casefold() == text(other).casefold(),
    (str, "contains", 1): lambda value, part: text(part) in value,
    (str, "startsWith", 1): lambda value, part: value.startswith(text(part)),
    (str, "endsWith", 1): lambda value, part: value.endswith(text(part)),
    (str, "indexOf", 1): lambda value, part: value.find(text(part)),
    (str, "replace", 2): _replace,
    (str, "substring", 1): _substring,
    (str, "substring", 2): _substring,
    (str, "toLowerCase", 0): str.lower,
    (str, "toUpperCase", 0): str.upper,
    (str, "trim", 0): str.strip,
    (str, "toString", 0): text,
    (int, "equals", 1): lambda value, other: str(value) == text(other),
    (int, "toString", 0): text,
    (bool, "toString", 0): text,
    (Escape, "json", 1): _json,
    (Escape, "xml", 1): _xml,
    (Escape, "url", 1): _url,
}
_OF_RECORDS = (
    "key", "value", "contentType", "base64", "originalName", "count", "index", "first", "last", "hasNext",
)  # fmt: skip
_GETTERS = {f"get{name[0].upper()}{name[1:]}": name for name in _OF_RECORDS}
# Every member that a template may name; those of a map besides are its keys.
METHODS = frozenset({name for _type, name, _count in _METHODS} | _GETTERS.keys() | {"hasNext"})
MEMBERS = frozenset(_OF_RECORDS)
