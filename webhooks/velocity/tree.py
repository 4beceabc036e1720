"""A template once it is read: nodes that write, and expressions that have a value. Pure; their frame bounds them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from webhooks.velocity import values
from webhooks.velocity.errors import TemplateError
from webhooks.velocity.values import List, Map, Record, Value

# What a rendering may do: about 20 ms. A long text counts as more than one step.
MOST_STEPS = 20_000
_STEP_LENGTH = 256
# Items of a range.
MOST_ITEMS = 1000


class Stop(Exception):
    """#stop: nothing more is written."""


class Break(Exception):
    """#break: the innermost loop ends."""


class Frame:
    """One rendering: its variables, what is written, and what it has cost so far."""

    __slots__ = ("size", "steps", "variables", "written")

    def __init__(self, variables: Mapping[str, Value]) -> None:
        self.variables: dict[str, Value] = {**variables, "esc": values.ESCAPE}
        self.written: list[str] = []
        self.size = 0
        self.steps = 0

    def spend(self, steps: int = 1) -> None:
        """Raises TemplateError: it takes too long."""
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise TemplateError("the template takes too long")

    def write(self, text: str) -> None:
        """Raises TemplateError: it becomes too long."""
        self.size += len(text)
        if self.size > values.MOST_OUTPUT:
            raise TemplateError(f"the template gives more than {values.MOST_OUTPUT // 1024} KiB")
        self.written.append(text)


class Node(Protocol):
    def write(self, frame: Frame) -> None: ...


class Expression(Protocol):
    def value(self, frame: Frame) -> Value: ...


def write_all(nodes: Sequence[Node], frame: Frame) -> None:
    for node in nodes:
        frame.spend()
        node.write(frame)


class Text:
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def write(self, frame: Frame) -> None:
        frame.write(self.text)


class Property:
    """``.name``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def of(self, value: Value, frame: Frame) -> Value:
        return values.member(value, self.name)


class Call:
    """``.name(…)``."""

    __slots__ = ("arguments", "name")

    def __init__(self, name: str, arguments: Sequence[Expression]) -> None:
        self.name = name
        self.arguments = arguments

    def of(self, value: Value, frame: Frame) -> Value:
        arguments = [self._argument(expression, frame) for expression in self.arguments]
        result = values.call(value, self.name, arguments)
        cost = sum(len(each) for each in (value, result, *arguments) if isinstance(each, str))
        if isinstance(value, List | Map):
            cost += 16 * len(value.items)
        frame.spend(1 + cost // _STEP_LENGTH)
        return result

    @staticmethod
    def _argument(expression: Expression, frame: Frame) -> Value:
        value = expression.value(frame)
        # `$esc.json($!mtContent)` of a message without text is an empty text.
        return "" if value is None and isinstance(expression, Reference) and expression.quiet else value


class Index:
    """``[…]``."""

    __slots__ = ("index",)

    def __init__(self, index: Expression) -> None:
        self.index = index

    def of(self, value: Value, frame: Frame) -> Value:
        return values.element(value, self.index.value(frame))


Link = Property | Call | Index


class Reference:
    """``$root.links``; what has no value is written as it stands in the template, or as nothing when quiet."""

    __slots__ = ("escapes", "links", "quiet", "root", "source")

    def __init__(self, *, source: str, root: str, links: Sequence[Link], quiet: bool, escapes: int) -> None:
        """``escapes``: backslashes before it."""
        self.source = source
        self.root = root
        self.links = links
        self.quiet = quiet
        self.escapes = escapes

    def value(self, frame: Frame) -> Value:
        frame.spend(1 + len(self.links))
        value = frame.variables.get(self.root)
        for link in self.links:
            if value is None:
                return None
            value = link.of(value, frame)
        return value

    def write(self, frame: Frame) -> None:
        value = self.value(frame)
        if self.escapes:
            self._write_escaped(value, frame)
        elif value is not None:
            frame.write(self._text(value, frame))
        elif not self.quiet:
            frame.write(self.source)

    def _write_escaped(self, value: Value, frame: Frame) -> None:
        """A pair of backslashes before a reference with a value is one, an odd one takes its meaning away."""
        if value is None:
            frame.write("\\" * self.escapes + ("" if self.quiet and self.escapes % 2 == 0 else self.source))
        else:
            frame.write("\\" * (self.escapes // 2))
            frame.write(self.source if self.escapes % 2 else self._text(value, frame))

    @staticmethod
    def _text(value: Value, frame: Frame) -> str:
        if isinstance(value, str):
            return value
        text = values.text(value)
        frame.spend(len(text) // _STEP_LENGTH)
        return text


class If:
    __slots__ = ("branches", "otherwise")

    def __init__(
        self, branches: Sequence[tuple[Expression, Sequence[Node]]], otherwise: Sequence[Node]
    ) -> None:
        self.branches = branches
        self.otherwise = otherwise

    def write(self, frame: Frame) -> None:
        for condition, block in self.branches:
            if values.is_true(condition.value(frame)):
                write_all(block, frame)
                return
        write_all(self.otherwise, frame)


class Foreach:
    __slots__ = ("block", "items", "name")

    def __init__(self, name: str, items: Expression, block: Sequence[Node]) -> None:
        self.name = name
        self.items = items
        self.block = block

    def write(self, frame: Frame) -> None:
        items = _items(self.items.value(frame))
        names = (self.name, "foreach", "velocityCount", "velocityHasNext")
        outer = [frame.variables.get(name) for name in names]
        try:
            for index, item in enumerate(items):
                frame.spend(4)
                has_next = index + 1 < len(items)
                frame.variables["foreach"] = _loop(index, has_next=has_next)
                frame.variables["velocityCount"] = index + 1
                frame.variables["velocityHasNext"] = has_next
                frame.variables[self.name] = item
                write_all(self.block, frame)
        except Break:
            pass
        frame.variables.update(zip(names, outer, strict=True))


def _items(value: Value) -> Sequence[Value]:
    if isinstance(value, List):
        return value.items
    return tuple(value.items.values()) if isinstance(value, Map) else ()


def _loop(index: int, *, has_next: bool) -> Record:
    return Record(
        {
            "index": index,
            "count": index + 1,
            "hasNext": has_next,
            "first": index == 0,
            "last": not has_next,
        }
    )


class Set:
    """``#set``: nothing on its right leaves the variable as it is, as in Velocity 1.7."""

    __slots__ = ("expression", "name")

    def __init__(self, name: str, expression: Expression) -> None:
        self.name = name
        self.expression = expression

    def write(self, frame: Frame) -> None:
        value = self.expression.value(frame)
        if value is not None:
            frame.variables[self.name] = value


class Leave:
    """``#stop`` and ``#break``."""

    __slots__ = ("how",)

    def __init__(self, how: type[Stop | Break]) -> None:
        self.how = how

    def write(self, frame: Frame) -> None:
        raise self.how


class Literal:
    __slots__ = ("_value",)

    def __init__(self, value: Value) -> None:
        self._value = value

    def value(self, frame: Frame) -> Value:
        return self._value


class Interpolated:
    """A text in double quotes with references in it."""

    __slots__ = ("block",)

    def __init__(self, block: Sequence[Node]) -> None:
        self.block = block

    def value(self, frame: Frame) -> Value:
        outer, frame.written = frame.written, []
        try:
            write_all(self.block, frame)
            return "".join(frame.written)
        finally:
            frame.written = outer


class ListOf:
    __slots__ = ("items",)

    def __init__(self, items: Sequence[Expression]) -> None:
        self.items = items

    def value(self, frame: Frame) -> Value:
        frame.spend(len(self.items))
        return values.listed(tuple(item.value(frame) for item in self.items))


class Range:
    __slots__ = ("first", "last")

    def __init__(self, first: Expression, last: Expression) -> None:
        self.first = first
        self.last = last

    def value(self, frame: Frame) -> Value:
        first, last = self.first.value(frame), self.last.value(frame)
        if type(first) is not int or type(last) is not int:
            return None
        count = abs(last - first) + 1
        if count > MOST_ITEMS:
            raise TemplateError(f"a range in the template has more than {MOST_ITEMS:,} items")
        frame.spend(count)
        return values.listed(tuple(range(first, last + 1) if first <= last else range(first, last - 1, -1)))


class Not:
    __slots__ = ("operand",)

    def __init__(self, operand: Expression) -> None:
        self.operand = operand

    def value(self, frame: Frame) -> Value:
        return not values.is_true(self.operand.value(frame))


class Logical:
    """``&&`` and ``||``; the right side is not asked when the left one decides."""

    __slots__ = ("decides", "left", "right")

    def __init__(self, left: Expression, right: Expression, *, decides: bool) -> None:
        self.left = left
        self.right = right
        self.decides = decides

    def value(self, frame: Frame) -> Value:
        if values.is_true(self.left.value(frame)) is self.decides:
            return self.decides
        return values.is_true(self.right.value(frame))


class Binary:
    """An operation on two values."""

    __slots__ = ("left", "operation", "right")

    def __init__(
        self, left: Expression, right: Expression, operation: Callable[[Value, Value], Value]
    ) -> None:
        self.left = left
        self.right = right
        self.operation = operation

    def value(self, frame: Frame) -> Value:
        left, right = self.left.value(frame), self.right.value(frame)
        result = self.operation(left, right)
        cost = sum(len(each) for each in (left, right, result) if isinstance(each, str))
        cost += sum(each.weight for each in (left, right) if isinstance(each, List))
        frame.spend(1 + cost // _STEP_LENGTH)
        return result
