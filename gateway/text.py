"""How many parts a text takes on the air: GSM 03.38 or UCS-2, counted exactly as it will be segmented.

Source: 3GPP TS 23.038 §6.2.1 (alphabet and extension table), TS 23.040 §9.2.3.24.1 (concatenation).
"""

import re
from typing import Literal

Encoding = Literal["GSM-7", "UCS-2"]

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Each takes two septets: an escape and a code.
EXTENSION = "\f^{}\\[~]|€"

_basic = re.compile(f"[{re.escape(BASIC)}]*")
_gsm = re.compile(f"[{re.escape(BASIC + EXTENSION)}]*")
_extended = re.compile(f"[{re.escape(EXTENSION)}]")

_GSM_ALONE, _GSM_PART = 160, 153
_UCS2_ALONE, _UCS2_PART = 70, 67


def analyse(text: str) -> tuple[Encoding, int]:
    """The encoding a text needs and how many parts it makes; an empty text makes one.

    Neither an escape pair nor a surrogate pair is split over two parts.
    """
    size = len(text)
    if _basic.fullmatch(text):
        return "GSM-7", 1 if size <= _GSM_ALONE else -(-size // _GSM_PART)
    if _gsm.fullmatch(text):
        return "GSM-7", _parts(_extended.sub("\x1bx", text), _GSM_ALONE, _GSM_PART, "\x1b", "\x1b")
    if max(text) <= "\uffff":
        return "UCS-2", 1 if size <= _UCS2_ALONE else -(-size // _UCS2_PART)
    units = re.sub("[\U00010000-\U0010ffff]", "\ud800\udc00", text)
    return "UCS-2", _parts(units, _UCS2_ALONE, _UCS2_PART, "\ud800", "\udbff")


def _parts(units: str, alone: int, part: int, low: str, high: str) -> int:
    """Segments of ``units`` where one that is between ``low`` and ``high`` stays with its successor."""
    size = len(units)
    if size <= alone:
        return 1
    count = position = 0
    while position < size:
        position += part
        if position < size and low <= units[position - 1] <= high:
            position -= 1
        count += 1
    return count
