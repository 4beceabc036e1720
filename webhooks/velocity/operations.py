"""What the operators of templates do. Pure."""

import operator
from collections.abc import Callable

from webhooks.velocity import values
from webhooks.velocity.errors import TemplateError
from webhooks.velocity.values import Value

Operation = Callable[[Value, Value], Value]


def _equal(left: Value, right: Value) -> bool:
    """Of different kinds they are equal when they print the same."""
    if left is None or right is None:
        return left is right
    return values.text(left) == values.text(right)


def _compared(compare: Callable[[int, int], bool]) -> Operation:
    def apply(left: Value, right: Value) -> Value:
        return compare(left, right) if type(left) is int and type(right) is int else False

    return apply


def _computed(compute: Callable[[int, int], int]) -> Operation:
    def apply(left: Value, right: Value) -> Value:
        if type(left) is not int or type(right) is not int:
            return None
        return values.number(compute(left, right))

    return apply


def _divided(left: Value, right: Value) -> Value:
    if type(left) is not int or type(right) is not int or right == 0:
        return None
    quotient = abs(left) // abs(right)
    return values.number(quotient if (left < 0) == (right < 0) else -quotient)


def _rest(left: Value, right: Value) -> Value:
    quotient = _divided(left, right)
    if type(left) is not int or type(right) is not int or type(quotient) is not int:
        return None
    return left - right * quotient


def _added(left: Value, right: Value) -> Value:
    if type(left) is int and type(right) is int:
        return values.number(left + right)
    if left is None or right is None or not (isinstance(left, str) or isinstance(right, str)):
        return None
    joined = values.text(left) + values.text(right)
    if len(joined) > values.MOST_OUTPUT:
        raise TemplateError("a text in the template becomes too long")
    return joined


# With what binds closer further down; `&&` and `||` are not among them: they need not ask both sides.
OPERATIONS: dict[str, Operation] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _compared(operator.lt),
    "<=": _compared(operator.le),
    ">": _compared(operator.gt),
    ">=": _compared(operator.ge),
    "+": _added,
    "-": _computed(operator.sub),
    "*": _computed(operator.mul),
    "/": _divided,
    "%": _rest,
}
