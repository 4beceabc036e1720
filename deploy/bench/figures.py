"""What a window measured, as it is printed."""

from typing import Any

from deploy import measure
from deploy.measure import Memory, Window


def cpu(window: Window, count: int) -> dict[str, float]:
    """CPU seconds of each process tree for 1,000 of what was done `count` times."""
    each = {name: round(1000 * seconds / count, 4) for name, seconds in sorted(window.cpu.items())}
    stack = sum(seconds for name, seconds in window.cpu.items() if window.counted(name))
    return {**each, "whole stack": round(1000 * stack / count, 4)}


def peaks(window: Window) -> dict[str, Any]:
    """The most memory of each process tree, and of the stack."""
    found = {name: megabytes(size) for name, size in sorted(window.peaks.each.items())}
    return {**found, "whole stack": megabytes(window.peaks.together)}


def megabytes(size: Memory) -> dict[str, float | None]:
    share = None if size.pss is None else round(size.pss / measure.MEGABYTE, 1)
    return {"rss": round(size.rss / measure.MEGABYTE, 1), "pss": share}
