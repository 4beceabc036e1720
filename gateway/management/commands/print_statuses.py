"""``manage.py print_statuses``: the table of statuses as a Mermaid diagram, for the README."""

from typing import Any

from gateway import statuses
from gateway.management import console


class Command(console.Command):
    help = "Print every legal move between statuses, as a Mermaid state diagram."

    def handle(self, *args: Any, **options: Any) -> None:
        if options["json"]:
            moves = {origin: sorted(targets) for origin, targets in statuses.MOVES.items()}
            self.show({"initial": sorted(statuses.INITIAL), "moves": moves}, options)
            return
        self.stdout.write("stateDiagram-v2")
        for line in lines():
            self.stdout.write(f"    {line}")


def lines() -> list[str]:
    """The diagram's arrows: into the initial statuses, between statuses, out of the final ones."""
    arrows = [f"[*] --> {status}" for status in statuses.Status if status in statuses.INITIAL]
    for origin, targets in statuses.MOVES.items():
        arrows += [f"{origin} --> {target}" for target in statuses.Status if target in targets]
    return arrows + [f"{status} --> [*]" for status in statuses.Status if status in statuses.FINAL]
