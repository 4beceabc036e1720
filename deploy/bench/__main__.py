"""The bench's command line: see the package."""

import argparse
import contextlib
import json
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Any

from deploy import load, measure
from deploy.bench import scenarios
from deploy.bench.lanes import Bench, BenchError
from deploy.bench.peers import PeerError
from deploy.bench.stack import Stack, StackError

_BEGAN = time.monotonic()
FAILURES = (BenchError, PeerError, StackError, load.LoadError)


def main() -> int:
    options = _arguments()
    # Told to end, the bench ends as by Ctrl-C: its stack and its peers with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    every = (*scenarios.SINGLE, "memory") if options.quick else scenarios.NAMES
    wanted = [*options.scenario, *options.set] or every
    results: dict[str, Any] = {}
    try:
        with (
            Stack(broker=options.broker, under=options.folder, keep=options.keep) as stack,
            Bench(stack, quick=options.quick, say=_say) as bench,
        ):
            time.sleep(1 if options.quick else scenarios.SETTLE_SECONDS)
            idle = measure.total(measure.memory(stack.pids()).values())
            machine = _machine(stack)
            for name in wanted:
                results |= _run(bench, name, idle)
            restarts = stack.restarts()
    except FAILURES as error:
        _say(f"The bench failed: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    seconds = round(time.monotonic() - _BEGAN, 1)
    shown = {"quick": options.quick, "seconds": seconds, "machine": machine, "restarts": restarts}
    print(json.dumps({**shown, "scenarios": results}, indent=1))
    return 0 if all(_is_right(result) for result in results.values()) else 1


def _run(bench: Bench, name: str, idle: measure.Memory) -> dict[str, Any]:
    """A scenario's results; one that breaks off is a result, too, and the next ones are still run."""
    try:
        found = scenarios.run(bench, name, idle=idle)
    except FAILURES as error:
        _say(f"{name} broke off: {error}")
        return {name: {"met": False, "complete": False, "error": str(error)}}
    for title, result in found.items():
        _say(_line(title, result))
    return found


def _line(title: str, result: dict[str, Any]) -> str:
    words = [f"{title}:"]
    if "messages_per_second" in result:
        words.append(f"{result['messages_per_second']:,.0f} messages/s")
    words.append("reached" if result["met"] else f"NOT reached, aims at {result['target']}")
    if result["lost"] or result["duplicated"]:
        words.append(f"LOST {result['lost']}, DUPLICATED {result['duplicated']}")
    return " ".join(words)


def _is_right(result: dict[str, Any]) -> bool:
    return bool(result["complete"]) and not result["lost"] and not result["duplicated"]


def _machine(stack: Stack) -> dict[str, Any]:
    """What figures depend on."""
    return {
        "cpus": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "postgresql": stack.ask("SHOW server_version"),
        "synchronous_commit": stack.ask("SHOW synchronous_commit"),
        "fsync": stack.ask("SHOW fsync"),
        "filesystem": _filesystem(stack.folder),
        "broker": stack.environment.get("BROKER_URL", "filesystem"),
    }


def _filesystem(path: Path) -> str | None:
    """The type of the file system that holds `path`: a commit to tmpfs costs nothing and proves nothing."""
    with contextlib.suppress(OSError):
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        holding = [mount for mount in mounts if path.is_relative_to(mount[1])]
        return str(max(holding, key=lambda mount: len(mount[1]))[2])
    return None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.bench", description="Measure the stack; one JSON object on standard output."
    )
    parser.add_argument(
        "scenario", nargs="*", help=f"of {', '.join(scenarios.NAMES)}; all when none is named"
    )
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME", help="the same")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few messages, and none of the growth scenarios unless named: whether it works, not how fast",
    )
    parser.add_argument("--broker", metavar="URL", help="instead of the embedded one")
    parser.add_argument("--folder", type=Path, help="where the data folder is made; it decides the disk")
    parser.add_argument("--keep", action="store_true", help="leave the data folder, with the logs")
    options = parser.parse_args()
    unknown = sorted({*options.scenario, *options.set} - set(scenarios.NAMES))
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)} (there are {', '.join(scenarios.NAMES)})")
    return options


def _say(text: str) -> None:
    print(f"{time.monotonic() - _BEGAN:6.1f} s  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
