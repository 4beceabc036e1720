"""Words that describe receipts and texts from handsets; several are joined by commas: `minimal,lower`.

A menu maps each word to (group, what it means); of the words of one group only one may be given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

Menu: TypeAlias = Mapping[str, tuple[str, str]]

RECEIPTS: Final[Menu] = {
    "final": ("which", "one for each submit that asks (default)"),
    "none": ("which", "no receipts"),
    "each-part": ("which", "for every part of a long message, though it does not ask"),
    "first-part": ("which", "of a long message only for its first part"),
    "last-part": ("which", "of a long message only for its last part"),
    "duplicate": ("", "each twice"),
    "intermediate": ("", "an ENROUTE one before each, though it is not asked for"),
    "before-answer": ("when", "before the answer to the submit"),
    "after-reconnect": ("when", "once the submitting connection is gone, on another"),
    "out-of-order": ("", "every second one 200 ms later than its delay"),
}

RECEIPT_STYLE: Final[Menu] = {
    "text": ("form", "as in appendix B (default)"),
    "tlv": ("form", "receipted_message_id, message_state, network_error_code; no text"),
    "both": ("form", "text and TLVs"),
    "text-seconds": ("", "seconds in the dates"),
    "minimal": ("", "no sub:, dlvrd:, submit date: and text:"),
    "lower": ("", "the word after stat: in lower case"),
    "capitals": ("", "ID:, STAT:, ERR: and the others in capitals"),
    "spaced": ("", "a blank after each colon"),
    "letters": ("", "err: in letters and digits"),
    "esm0": ("", "esm_class 0"),
    "payload": ("", "the text in message_payload"),
    "data-sm": ("", "as data_sm"),
}

MO_FORMAT: Final[Menu] = {
    "auto": ("alphabet", "GSM where it can be, else UCS-2 (default)"),
    "gsm": ("alphabet", "GSM 03.38, one septet an octet; other characters become ?"),
    "packed": ("alphabet", "GSM 03.38, eight septets in seven octets"),
    "ascii": ("alphabet", "data_coding 1"),
    "latin1": ("alphabet", "data_coding 3"),
    "ucs2": ("alphabet", "data_coding 8"),
    "binary": ("alphabet", "data_coding 4; the text is hexadecimal"),
    "garbage": ("alphabet", "random octets, data_coding and esm_class in place of the text"),
    "udh8": ("joined", "long texts joined by an eight-bit reference (default)"),
    "udh16": ("joined", "by a sixteen-bit reference"),
    "sar": ("joined", "by the SAR TLVs"),
    "payload": ("joined", "not in parts: message_payload"),
    "reversed": ("", "the last part first"),
    "doubled": ("", "each part twice"),
    "missing": ("", "without the last part but one"),
    "data-sm": ("", "as data_sm"),
}


def words(text: str, menu: Menu) -> frozenset[str]:
    """The words of `text`. Raises ValueError, which names the word that cannot be."""
    found: dict[str, str] = {}
    for word in text.split(","):
        if word not in menu:
            raise ValueError(f"{word!r} is none of {', '.join(menu)}.")
        group = menu[word][0] or word
        if found.setdefault(group, word) != word:
            raise ValueError(f"{found[group]} and {word} exclude each other.")
    return frozenset(found.values())
