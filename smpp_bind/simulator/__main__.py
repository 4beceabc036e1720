"""`python -m smpp_bind.simulator`: the command without Django, which starts in a fifth of the time."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from smpp_bind import simulator
from smpp_bind.simulator import options


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}\n")


def main() -> None:
    parser = _Parser(prog="python -m smpp_bind.simulator", description="A simulated SMSC, SMPP 3.4.")
    options.add_to(parser)
    try:
        simulator.run(options.read(vars(parser.parse_args())))
    except (simulator.SettingsError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
