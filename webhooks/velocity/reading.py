"""A place in a template's text, and the bounds on what is read there. Pure."""

import re
from typing import NoReturn, Self

from webhooks.velocity.errors import TemplateError

# Characters of a template, its references and directives, and how deep they may stand in each other.
LONGEST = 64 * 1024
MOST_NODES = 2000
MOST_DEPTH = 24

_BLANK = re.compile(r"\s*")
_LINE_END = re.compile(r"[ \t]*\r?\n")


class Reader:
    """``at`` is where reading has got to; ``outer`` has the text that this one is part of."""

    def __init__(self, text: str, *, outer: "Self | None" = None) -> None:
        self.text = text
        self.at = 0
        self.depth: int = 0 if outer is None else outer.depth
        self.nodes: int = 0 if outer is None else outer.nodes
        self._first_line: int = 1 if outer is None else outer._line()

    def skip_blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        if match is not None:
            self.at = match.end()

    def skip_line_end(self) -> None:
        match = _LINE_END.match(self.text, self.at)
        if match is not None:
            self.at = match.end()

    def expect(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        match = pattern.match(self.text, self.at)
        if match is None:
            self.refuse(f"{what} is missing")
        self.at = match.end()
        return match

    def close(self, mark: str) -> None:
        if mark != "}":
            self.skip_blank()
        if self.text[self.at : self.at + 1] != mark:
            self.refuse(f"{mark} is missing")
        self.at += 1

    def count(self) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            self.refuse(f"the template has more than {MOST_NODES:,} references and directives")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            self.refuse("the template is nested too deeply")

    def _line(self) -> int:
        return self._first_line + self.text.count("\n", 0, self.at)

    def refuse(self, what: str) -> NoReturn:
        raise TemplateError(f"line {self._line()}: {what}")
