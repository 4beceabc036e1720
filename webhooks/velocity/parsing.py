"""From a template's text to its tree, in one pass whose time grows with the length and nothing else. Pure.

A closed part of Velocity 1.7 (velocity.apache.org/engine/1.7/user-guide.html): references, #if, #foreach, #set,
#stop, #break, comments and #[[unparsed text]]#. What reaches further (#parse, #include, #evaluate, #macro, #define)
is refused, and so is a member that nothing has. A newline that only ends a directive's line goes with it.
"""

import re

from webhooks.velocity import tree, values
from webhooks.velocity.operations import OPERATIONS
from webhooks.velocity.reading import Reader
from webhooks.velocity.tree import Expression, Link, Node, Reference

_SPECIAL = re.compile(r"[$#]")
_REFERENCE = re.compile(r"\$(!?)(\{?)([A-Za-z_]\w*)", re.ASCII)
_MEMBER = re.compile(r"\.([A-Za-z_]\w*)", re.ASCII)
_INDEX = re.compile(r"\[\s*(?:(-?\d{1,9})|'([^']*)'|\$([A-Za-z_]\w*))\s*\]", re.ASCII)
_DIRECTIVE = re.compile(r"#(?:\{([A-Za-z]+)\}|([A-Za-z_]\w*))", re.ASCII)
_OPEN = re.compile(r"\s*\(")
_TARGET = re.compile(r"\s*\$!?(\{?)([A-Za-z_]\w*)(\}?)\s*", re.ASCII)
_IN = re.compile(r"in\b\s*")
_ASSIGN = re.compile(r"=(?!=)\s*")
_NUMBER = re.compile(r"-?\d+", re.ASCII)
_WORD = re.compile(r"(?:true|false|not)\b")
_OPERATOR = re.compile(r"\s*(\|\||&&|==|!=|<=|>=|<|>|\+|-|\*|/|%|(?:or|and|eq|ne|lt|le|gt|ge)\b)")

_WORDS = {
    "or": "||", "and": "&&", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
}  # fmt: skip
_BINDING = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, "<=": 4, ">": 4, ">=": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6,
}  # fmt: skip
_ENDS = frozenset({"end", "else", "elseif"})
_REFUSED = frozenset({"parse", "include", "evaluate", "macro", "define"})
_KNOWN = _ENDS | _REFUSED | {"if", "foreach", "set", "stop", "break"}


class Parser(Reader):
    """Reads one text; texts in double quotes within it have parsers of their own."""

    def __init__(self, text: str, *, directives: bool = True, outer: "Parser | None" = None) -> None:
        super().__init__(text, outer=outer)
        self.roots: set[str] = set() if outer is None else outer.roots
        self._directives = directives
        self._loops = 0

    def whole(self) -> list[Node]:
        """The nodes of the text.

        Raises:
            TemplateError: it is not a template, or one that may not be used.
        """
        nodes, end = self._block()
        if end:
            self.refuse(f"#{end} without an #if or #foreach")
        return nodes

    # Blocks and directives.

    def _block(self) -> tuple[list[Node], str]:
        """Nodes up to the end of the text, or to a directive that ends a block, and that one's name."""
        nodes: list[Node] = []
        plain: list[str] = []
        while (found := _SPECIAL.search(self.text, self.at)) is not None:
            escapes = self._escapes(found.start())
            plain.append(self.text[self.at : found.start() - escapes])
            self.at = found.start()
            taken = self._reference(escapes, plain) if found[0] == "$" else self._hash(escapes, plain)
            if taken is None:
                continue
            self._put(nodes, plain)
            if isinstance(taken, _End):
                return nodes, taken.name
            nodes.append(taken)
        plain.append(self.text[self.at :])
        self.at = len(self.text)
        self._put(nodes, plain)
        return nodes, ""

    def _put(self, nodes: list[Node], plain: list[str]) -> None:
        """Make what was text so far a node."""
        if any(plain):
            self.count()
            nodes.append(tree.Text("".join(plain)))
        plain.clear()

    def _escapes(self, mark: int) -> int:
        """Backslashes right before the mark."""
        at = mark
        while at > self.at and self.text[at - 1] == "\\":
            at -= 1
        return mark - at

    def _hash(self, escapes: int, plain: list[str]) -> "Node | _End | None":
        """What a # begins: a node or the end of a block; None when it is text after all, which goes to ``plain``."""
        match = _DIRECTIVE.match(self.text, self.at) if self._directives else None
        name = "" if match is None else (match[1] or match[2])
        if match is None or name not in _KNOWN:
            plain.append("\\" * escapes + ("#" if escapes % 2 else self._unparsed()))
            self.at += escapes % 2
            return None
        # Behind an odd backslash it is text, and a pair of them is one.
        plain.append("\\" * (escapes // 2))
        if name in _REFUSED and escapes % 2 == 0:
            self.refuse(f"#{name} may not be used")
        self.at = match.end()
        if escapes % 2:
            plain.append(match[0])
            return None
        return self._directive(name)

    def _unparsed(self) -> str:
        """Step over a comment, or give what stands in #[[ ]]#; the # itself where neither begins."""
        following = self.text[self.at + 1 : self.at + 3] if self._directives else ""
        if following[:1] == "#":
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end + 1
        elif following[:1] == "*":
            self._bounded("#*", "*#")
            self.skip_line_end()
        elif following == "[[":
            return self._bounded("#[[", "]]#")
        else:
            self.at += 1
            return "#"
        return ""

    def _bounded(self, mark: str, end: str) -> str:
        """What stands between the marks; steps over both."""
        begin = self.at + len(mark)
        found = self.text.find(end, begin)
        if found < 0:
            self.refuse(f"{mark} is not closed by {end}")
        self.at = found + len(end)
        return self.text[begin:found]

    def _directive(self, name: str) -> "Node | _End":
        self.count()
        if name in {"stop", "break"}:
            if name == "break" and not self._loops:
                self.refuse("#break without a #foreach")
            return tree.Leave(tree.Stop if name == "stop" else tree.Break)
        if name in _ENDS:
            if name == "end":
                self.skip_line_end()
            return _End(name)
        self.deeper()
        node = {"if": self._if, "foreach": self._foreach, "set": self._set}[name]()
        self.depth -= 1
        return node

    def _if(self) -> Node:
        begun = self.at
        branches: list[tuple[Expression, list[Node]]] = []
        otherwise: list[Node] = []
        end = "elseif"
        while end == "elseif":
            condition = self._condition()
            block, end = self._block()
            branches.append((condition, block))
        if end == "else":
            otherwise, end = self._block()
        if end != "end":
            self.at = begun
            self.refuse("#if is not closed by #end")
        return tree.If(branches, otherwise)

    def _condition(self) -> Expression:
        self.expect(_OPEN, "( after #if")
        expression = self._expression()
        self.close(")")
        self.skip_line_end()
        return expression

    def _foreach(self) -> Node:
        begun = self.at
        name = self._target("#foreach")
        self.expect(_IN, "in after the variable of #foreach")
        items = self._expression()
        self.close(")")
        self.skip_line_end()
        self._loops += 1
        block, end = self._block()
        self._loops -= 1
        if end != "end":
            self.at = begun
            self.refuse("#foreach is not closed by #end")
        return tree.Foreach(name, items, block)

    def _set(self) -> Node:
        name = self._target("#set")
        self.expect(_ASSIGN, "= after the variable of #set")
        expression = self._expression()
        self.close(")")
        self.skip_line_end()
        return tree.Set(name, expression)

    def _target(self, directive: str) -> str:
        """The plain variable that a directive sets."""
        self.expect(_OPEN, f"( after {directive}")
        match = self.expect(_TARGET, f"a plain variable in {directive}")
        if bool(match[1]) != bool(match[3]):
            self.refuse(f"{directive} needs a plain variable")
        return match[2]

    # References.

    def _reference(self, escapes: int, plain: list[str]) -> Reference | None:
        """The reference here; None when the $ is text, which goes to ``plain``."""
        match = _REFERENCE.match(self.text, self.at)
        if match is None:
            plain.append("\\" * escapes + "$")
            self.at += 1
            return None
        self.count()
        begun, root = self.at, match[3]
        self.at = match.end()
        links = self._links(root)
        if match[2]:
            self.close("}")
        self.roots.add(root)
        source = self.text[begun : self.at]
        return Reference(source=source, root=root, links=links, quiet=bool(match[1]), escapes=escapes)

    def _links(self, root: str) -> list[Link]:
        links: list[Link] = []
        while True:
            if (match := _MEMBER.match(self.text, self.at)) is not None:
                self.count()
                self.at = match.end()
                links.append(self._member(match[1], keys=root == "metadata" and not links))
            elif (match := _INDEX.match(self.text, self.at)) is not None:
                self.count()
                self.at = match.end()
                links.append(tree.Index(self._index(match)))
            else:
                return links

    def _member(self, name: str, *, keys: bool) -> Link:
        """``keys``: it may be a key of the map."""
        if self.text[self.at : self.at + 1] == "(":
            if name not in values.METHODS:
                self.refuse(f".{name}(…) may not be used")
            return tree.Call(name, self._arguments())
        if name not in values.MEMBERS and (not keys or name.startswith("_")):
            self.refuse(f".{name} is no member; where it is text, write the reference as ${{…}}")
        return tree.Property(name)

    def _arguments(self) -> list[Expression]:
        self.at += 1
        self.skip_blank()
        if self.text[self.at : self.at + 1] == ")":
            self.at += 1
            return []
        return self._listed(")")

    def _index(self, match: re.Match[str]) -> Expression:
        if match[3] is None:
            return tree.Literal(match[2] if match[1] is None else int(match[1]))
        self.roots.add(match[3])
        return Reference(source="", root=match[3], links=(), quiet=False, escapes=0)

    # Expressions.

    def _expression(self, binding: int = 1) -> Expression:
        """What binds at least as closely as ``binding``."""
        self.deeper()
        left = self._operand()
        while (match := _OPERATOR.match(self.text, self.at)) is not None:
            sign = _WORDS.get(match[1], match[1])
            if _BINDING[sign] < binding:
                break
            self.count()
            self.at = match.end()
            right = self._expression(_BINDING[sign] + 1)
            if sign in OPERATIONS:
                left = tree.Binary(left, right, OPERATIONS[sign])
            else:
                left = tree.Logical(left, right, decides=sign == "||")
        self.depth -= 1
        return left

    def _operand(self) -> Expression:
        self.count()
        self.skip_blank()
        first = self.text[self.at : self.at + 1]
        if first == "$":
            return self._value()
        if first in {"'", '"'}:
            return self._quoted(first)
        if first in {"(", "[", "!"}:
            self.at += 1
            return self._bracketed(first)
        if (match := _NUMBER.match(self.text, self.at)) is not None:
            return self._number(match)
        if (match := _WORD.match(self.text, self.at)) is not None:
            self.at = match.end()
            return self._bracketed("!") if match[0] == "not" else tree.Literal(match[0] == "true")
        return self.refuse("a value is missing, or is one that may not be used")

    def _value(self) -> Expression:
        found = self._reference(0, [])
        if found is None:
            self.refuse("$ without a name")
        return found

    def _bracketed(self, mark: str) -> Expression:
        """What follows an opening bracket or a not."""
        if mark == "!":
            return tree.Not(self._expression(7))
        if mark == "(":
            expression = self._expression()
            self.close(")")
            return expression
        self.skip_blank()
        if self.text[self.at : self.at + 1] == "]":
            self.at += 1
            return tree.ListOf(())
        return self._list_or_range()

    def _list_or_range(self) -> Expression:
        first = self._expression()
        self.skip_blank()
        if not self.text.startswith("..", self.at):
            return tree.ListOf(self._listed("]", first))
        self.at += 2
        last = self._expression()
        self.close("]")
        return tree.Range(first, last)

    def _listed(self, mark: str, first: Expression | None = None) -> list[Expression]:
        """Expressions with commas between them, the closing mark included."""
        found = [self._expression() if first is None else first]
        self.skip_blank()
        while self.text[self.at : self.at + 1] == ",":
            self.at += 1
            found.append(self._expression())
            self.skip_blank()
        self.close(mark)
        return found

    def _number(self, match: re.Match[str]) -> Expression:
        if len(match[0]) > 18:
            self.refuse("a number is too large")
        self.at = match.end()
        return tree.Literal(int(match[0]))

    def _quoted(self, mark: str) -> Expression:
        """A text; its quote doubled is one quote, and in double quotes references count."""
        begin = end = self.at + 1
        while True:
            end = self.text.find(mark, end)
            if end < 0:
                self.refuse("a text is not closed by its quote")
            if self.text[end + 1 : end + 2] != mark:
                break
            end += 2
        text = self.text[begin:end].replace(mark * 2, mark)
        inner = None
        if mark == '"' and _SPECIAL.search(text):
            self.deeper()
            inner = Parser(text, outer=self)
            block = inner.whole()
            self.depth -= 1
            self.nodes = inner.nodes
        self.at = end + 1
        return tree.Literal(text) if inner is None else tree.Interpolated(block)


class _End:
    """A directive that ends a block."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name
