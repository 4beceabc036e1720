"""Runs the supervisor over parts described by JSON: `python supervised.py FOLDER '[{"name": …, "code": …}]'`.

`code` is Python. Each part's start is noted in FOLDER/started and each end by signal in FOLDER/stopped.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy import child, files, home, supervisor
from deploy.part import Part

SERVE = """
import signal, sys, time, pathlib
def stop(*_):
    with open('stopped', 'a') as f: f.write(NAME + '\\n')
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
pathlib.Path('ready-' + NAME).touch()
while True: time.sleep(60)
"""


def part(folder, name, code=SERVE, *, ready=None, **rest):
    prelude = (
        f"import os\nos.chdir({str(folder)!r})\nNAME = {name!r}\nopen('started', 'a').write(NAME + '\\n')\n"
    )
    command = child.command([sys.executable, "-I", "-S", "-c", prelude + code])
    check = {} if ready is None else {"ready": lambda _pid: (folder / ready).exists()}
    rest = {key: tuple(value) if isinstance(value, list) else value for key, value in rest.items()}
    return Part(name, tuple(command), {"PATH": "/usr/bin:/bin"}, **check, **rest)


def main():
    folder = Path(sys.argv[1])
    parts = [part(folder, **described) for described in json.loads(sys.argv[2])]
    try:
        held = home.lock(folder)
    except home.HomeError as error:
        sys.exit(str(error))
    with held:
        code = supervisor.Supervisor(
            parts,
            logs=folder,
            changed=lambda pids: files.write_json(folder / "state.json", {"pids": pids}),
            announce=(folder / "announced").touch,
            say=lambda text: print(text, flush=True),
        ).run()
    sys.exit(code)


if __name__ == "__main__":
    main()
