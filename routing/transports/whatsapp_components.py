"""A WhatsApp template's components, from a message's variables. Pure. Source: Meta's reference of the Cloud API,
"Template messages", "Coupon code templates".

==============================================  =================================================================
``1``, ``2``, … or ``name``                     the body's parameters, by number where all are numbers, else by name
``header.1`` or ``header.name``                 the header's parameter
``header.image``, ``.video``, ``.document``     its file: an https URL, or the id of one that was uploaded
``header.filename``                             the document's name
``button.0.url``                                the end of the link of the first button
``button.0.payload``                            what comes back when the first button, a quick reply, is pressed
``button.0.code``                               what the first button copies
==============================================  =================================================================
"""

import re
from typing import Any

_BUTTON = re.compile(r"button\.([0-9])\.(url|payload|code)")
_FILES = ("image", "video", "document")
# By the last word of a button's variable: its `sub_type`, the parameter's type, and where its value stands.
_BUTTONS = {
    "url": ("url", "text", "text"),
    "payload": ("quick_reply", "payload", "payload"),
    "code": ("copy_code", "coupon_code", "coupon_code"),
}

Component = dict[str, Any]


def of(variables: dict[str, Any], *, fixed: list[Component]) -> list[Component]:
    """The components, header first; ``fixed`` ones stay where a variable makes none for the same place."""
    header = {name[7:]: value for name, value in variables.items() if name.startswith("header.")}
    buttons = [(match, value) for name, value in variables.items() if (match := _BUTTON.fullmatch(name))]
    body = {name: value for name, value in variables.items() if "." not in name}
    made = [_header(header)] if header.keys() - {"filename"} else []
    if body:
        made.append({"type": "body", "parameters": _parameters(body)})
    made += [_button(match[1], match[2], str(value)) for match, value in sorted(buttons, key=_place)]
    places = {_where(component) for component in made}
    kept = [component for component in fixed if _where(component) not in places]
    return sorted(kept + made, key=lambda component: _ORDER.get(str(component.get("type")).lower(), 1))


_ORDER = {"header": 0, "body": 2, "button": 3}


def _place(button: tuple[re.Match[str], Any]) -> str:
    return button[0][1]


def _where(component: Component) -> tuple[str, str]:
    return str(component.get("type")).lower(), str(component.get("index", ""))


def _header(given: dict[str, Any]) -> Component:
    for kind in _FILES:
        if kind in given:
            file = place_of(str(given[kind]))
            if kind == "document" and given.get("filename"):
                file["filename"] = str(given["filename"])
            return {"type": "header", "parameters": [{"type": kind, kind: file}]}
    shown = {name: value for name, value in given.items() if name != "filename"}
    return {"type": "header", "parameters": _parameters(shown)}


def place_of(file: str) -> dict[str, str]:
    """Where a file is: at a URL, or under the id of an upload."""
    return {"id": file} if file.isascii() and file.isdecimal() else {"link": file}


def _button(index: str, kind: str, value: str) -> Component:
    sub_type, parameter, name = _BUTTONS[kind]
    return {
        "type": "button",
        "sub_type": sub_type,
        "index": index,
        "parameters": [{"type": parameter, name: value}],
    }


def _parameters(variables: dict[str, Any]) -> list[dict[str, Any]]:
    """Positional ones in order, named ones by name."""
    if all(name.isdecimal() for name in variables):
        return [{"type": "text", "text": str(variables[name])} for name in sorted(variables, key=int)]
    return [{"type": "text", "parameter_name": name, "text": str(v)} for name, v in variables.items()]
