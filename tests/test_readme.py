"""The README promises only what is there."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from gateway.management.commands import print_statuses

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.name: page.read_text() for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_it_links_to_files_that_exist(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_it_names_make_targets_that_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(
        re.findall(
            r"make ([a-z]+)\b", "\n".join(re.findall(r"`[^`]*`|^make .*$", TEXTS["README.md"], re.MULTILINE))
        )
    )
    assert named - targets == set()


@pytest.mark.parametrize("name", TEXTS)
def test_it_names_commands_that_exist(name):
    named = set(re.findall(r"manage\.py ([a-z_]+)", TEXTS[name]))
    assert named - set(get_commands()) == set()


def test_its_state_diagram_is_printed_from_the_table():
    diagram = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", TEXTS["README.md"], re.DOTALL)
    assert diagram is not None
    assert [line.strip() for line in diagram.group(1).splitlines()] == print_statuses.lines()


def test_it_names_the_environments_settings():
    read = set(
        re.findall(r'_env\.\w+\(\s*"([A-Z_]+)"|number\("([A-Z_]+)"', (ROOT / "config/env.py").read_text())
    )
    read |= set(re.findall(r'number\("([A-Z_]+)"', (ROOT / "config/settings.py").read_text()))
    names = {name for found in read for name in ([found] if isinstance(found, str) else found) if name}
    internal = {"TRUNKLINE_ROLE", "BROKER_FOLDER", "DEMO_WEBHOOK_SECRET"}
    assert {name for name in names - internal if f"`{name}`" not in TEXTS["README.md"]} == set()
