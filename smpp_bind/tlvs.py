"""Vendors' TLVs of submits, filled from settings and from a message's metadata.

India's DLT registration, which operators there ask for with each submit, is the best known: 0x1400 principal entity
id, 0x1401 template id, 0x1402 telemarketer id, all octet strings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from routing.errors import OperatorSettingsError
from smpp_bind import errors, pdu

TYPES: Final = ("octets", "cstring", "int1", "int2", "int4")
LONGEST: Final = 1024
_SIZES: Final = {"int1": 1, "int2": 2, "int4": 4}
_FROM_METADATA, _CONSTANT = "metadata.", "text:"
# What the transport writes itself.
_TAKEN: Final = frozenset(
    {
        pdu.TLV_MESSAGE_PAYLOAD,
        pdu.TLV_SAR_MSG_REF_NUM,
        pdu.TLV_SAR_TOTAL_SEGMENTS,
        pdu.TLV_SAR_SEGMENT_SEQNUM,
    }
)
_MEMBERS: Final = frozenset({"from", "type", "required", "max"})


class Rule(NamedTuple):
    """``key``: of the metadata, whose value goes into the TLV; a constant has its ``octets`` instead."""

    tag: int
    type: str
    key: str
    octets: bytes
    is_required: bool
    longest: int


def fill(rules: Sequence[Rule], metadata: Mapping[str, str] | None) -> pdu.Tlvs:
    """The TLVs of a message, in the order of the rules; one whose metadata is not there is left out.

    Raises:
        UnsendableError: metadata that must be there is not, or has no form of the TLV's type.
    """
    found = []
    for rule in rules:
        if not rule.key:
            found.append((rule.tag, rule.octets))
            continue
        value = (metadata or {}).get(rule.key)
        if value is None or value == "":
            if rule.is_required:
                raise _invalid(rule, "is missing")
            continue
        octets = _octets(rule, str(value))
        if octets is None:
            raise _invalid(rule, f"is no {_wanted(rule)}")
        found.append((rule.tag, octets))
    return tuple(found)


def _invalid(rule: Rule, what: str) -> errors.UnsendableError:
    return errors.UnsendableError(
        f"TLV 0x{rule.tag:04X}: metadata {rule.key} {what}", error_code="METADATA_INVALID"
    )


def _wanted(rule: Rule) -> str:
    size = _SIZES.get(rule.type)
    if size is not None:
        return f"whole number from 0 to {(1 << 8 * size) - 1}"
    return f"text of at most {rule.longest} Latin-1 characters"


def _octets(rule: Rule, value: str) -> bytes | None:
    """A value as the TLV has it; None when it cannot."""
    size = _SIZES.get(rule.type)
    try:
        if size is not None:
            return int(value).to_bytes(size, "big") if value.isascii() and value.isdecimal() else None
        octets = value.encode("latin-1")
    except (UnicodeEncodeError, OverflowError, ValueError):
        return None
    if len(octets) > rule.longest or (rule.type == "cstring" and 0 in octets):
        return None
    return octets + b"\0" if rule.type == "cstring" else octets


def read(*, slug: str, given: Any) -> tuple[Rule, ...]:
    """``tlvs`` of an operator's settings: by tag a source, or an object of ``from``, ``type``, ``required``, ``max``.

    Raises:
        OperatorSettingsError: says which of them, and what it may be.
    """
    if given is None:
        return ()
    if not isinstance(given, dict):
        raise OperatorSettingsError(f"{slug}: tlvs must be a JSON object by tag, not {given!r}.")
    rules = tuple(_rule(slug, str(tag), told) for tag, told in given.items())
    if len({rule.tag for rule in rules}) < len(rules):
        raise OperatorSettingsError(f"{slug}: tlvs has one tag twice.")
    return rules


def _rule(slug: str, name: str, told: Any) -> Rule:
    where = f"{slug}: tlvs[{name!r}]"
    tag = _tag(where, name)
    members = {"from": told} if isinstance(told, str) else told
    if not isinstance(members, dict) or not _MEMBERS.issuperset(members):
        raise OperatorSettingsError(
            f"{where} must be a text such as metadata.dlt_entity_id or text:1101, or an object of from, type, "
            f"required and max, not {told!r}."
        )
    type_, required = members.get("type", "octets"), members.get("required", False)
    longest = members.get("max", LONGEST)
    if type_ not in TYPES:
        raise OperatorSettingsError(f"{where}.type must be one of {', '.join(TYPES)}, not {type_!r}.")
    if not isinstance(required, bool):
        raise OperatorSettingsError(f"{where}.required must be true or false, not {required!r}.")
    if isinstance(longest, bool) or not isinstance(longest, int) or not 1 <= longest <= LONGEST:
        raise OperatorSettingsError(f"{where}.max must be 1 to {LONGEST}, not {longest!r}.")
    source = members.get("from")
    if isinstance(source, str) and source.startswith(_CONSTANT):
        return _constant(where, Rule(tag, type_, "", b"", required, longest), source.removeprefix(_CONSTANT))
    if isinstance(source, str) and source.startswith(_FROM_METADATA) and len(source) > len(_FROM_METADATA):
        return Rule(tag, type_, source.removeprefix(_FROM_METADATA), b"", required, longest)
    raise OperatorSettingsError(f"{where}.from must be metadata.<key> or text:<constant>, not {source!r}.")


def _constant(where: str, rule: Rule, text: str) -> Rule:
    octets = _octets(rule, text)
    if octets is None:
        raise OperatorSettingsError(f"{where}.from must be a {_wanted(rule)}, not {text!r}.")
    return rule._replace(octets=octets)


def _tag(where: str, name: str) -> int:
    try:
        tag = int(name, 16 if name.lower().startswith("0x") else 10)
    except ValueError:
        tag = 0
    if not 1 <= tag <= 0xFFFF:
        raise OperatorSettingsError(f"{where} must be named by a tag such as 0x1400 or 5120.")
    if tag in _TAKEN:
        raise OperatorSettingsError(f"{where} is a TLV that long messages are written with.")
    return tag
