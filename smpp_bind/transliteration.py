"""Typographic characters in plain ones, so that a text that has nothing else beyond GSM 03.38 takes 160 characters a
part and not 70. Letters are never changed: that would change names and words.
"""

from __future__ import annotations

from typing import Final

_PLAIN: Final[dict[str, str]] = {
    "'": "\u2018\u2019\u201a\u201b\u2032\u2035\u02bc\u02b9\u00b4`\u2039\u203a",
    '"': "\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\u00ad",
    " ": "\t\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
    "\n": "\x0b\x85\u2028\u2029",
    "": "\u200b\u200c\u200d\u2060\ufeff",
    "...": "\u2026",
    "*": "\u2022\u00b7\u2023\u2027\u25cf",
    "/": "\u2044\u2215",
    "~": "\u02dc\u223c",
    "x": "\u00d7",
    "(c)": "\u00a9",
    "(R)": "\u00ae",
    "TM": "\u2122",
    "No": "\u2116",
    "1/2": "\u00bd",
    "1/4": "\u00bc",
    "3/4": "\u00be",
    "fi": "\ufb01",
    "fl": "\ufb02",
    "|": "\u00a6",
}
_TABLE: Final = str.maketrans(
    {char: plain for plain, chars in _PLAIN.items() for char in chars}
    # The full-width forms of ASCII.
    | {chr(0xFEE0 + code): chr(code) for code in range(0x21, 0x7F)}
)


def plain(text: str) -> str:
    """``text`` with its typography in plain characters; everything else stays."""
    return text.translate(_TABLE)
