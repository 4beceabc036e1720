"""`make run`, `make test` and what they rest on, as far as no database is needed."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import home, run

ROOT = home.CHECKOUT


def start(folder, **variables):
    """Run `deploy.run` to its end."""
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "BROKER_URL"}}
    return subprocess.run(
        [sys.executable, "-m", "deploy.run"],
        cwd=ROOT,
        env={**kept, "TRUNKLINE_HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_it_says_so_when_its_port_is_busy_and_leaves_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        done = start(tmp_path, PORT=str(busy.getsockname()[1]))
    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    assert not (tmp_path / "state.json").exists()
    assert not (tmp_path / "pgdata").exists()


@pytest.mark.parametrize("port", ["eighty", "0", "70000"])
def test_it_refuses_a_port_that_is_none(tmp_path, port):
    done = start(tmp_path, PORT=port)
    assert done.returncode == 1
    assert f"PORT={port}" in done.stderr


def test_it_refuses_a_data_folder_in_use(tmp_path):
    with home.lock(tmp_path):
        done = start(tmp_path)
    assert done.returncode == 1
    assert "already runs in" in done.stderr


def environment(tmp_path, **given):
    return run.environment(given, tmp_path, {"database_url": "postgresql:///x", "port": 8000})


def test_it_lets_callbacks_reach_this_machine_unless_told_otherwise(tmp_path):
    assert environment(tmp_path)["CALLBACK_ALLOWED_NETWORKS"] == "127.0.0.0/8,::1/128"
    assert environment(tmp_path, CALLBACK_ALLOWED_NETWORKS="")["CALLBACK_ALLOWED_NETWORKS"] == ""


def test_it_prefers_secrets_that_were_given(tmp_path):
    kept = environment(tmp_path)
    assert environment(tmp_path)["SECRET_KEY"] == kept["SECRET_KEY"]
    assert environment(tmp_path, SECRET_KEY="mine")["SECRET_KEY"] == "mine"


def test_it_passes_a_broker_on_only_when_there_is_one(tmp_path):
    assert "BROKER_URL" not in environment(tmp_path, BROKER_URL="")
    assert environment(tmp_path, BROKER_URL="amqp://x")["BROKER_URL"] == "amqp://x"


def test_it_prints_a_line_that_a_shell_reads_as_one_command():
    words = subprocess.run(
        ["/bin/sh", "-c", f"set -- {run.curl(8000, 'key')}; printf '%s\\n' \"$@\""],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert words[0] == "curl"
    assert "http://127.0.0.1:8000/v1/messages" in words
    assert "Authorization: Bearer key" in words


def test_every_target_of_the_makefile_is_explained():
    text = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())
    assert set(re.findall(r"^([a-z]+):.*## [A-Z].*\.$", text, re.MULTILINE)) == phony


@pytest.mark.parametrize("name", ["run.txt", "dev.txt"])
def test_lock_files_pin_by_hash_and_name_no_machine(name):
    text = (ROOT / "lock" / name).read_text()
    assert "://" not in text
    assert "--index-url" not in text
    assert not re.search(r"^\s*(/|#.*\s/)", text, re.MULTILINE)
    entries = [line for line in text.splitlines() if not line.startswith((" ", "#"))]
    assert entries
    assert all(re.fullmatch(r"\S+==\S+( ; .+)? \\", entry) for entry in entries)


def venv(tmp_path, **variables):
    return subprocess.run(
        ["/bin/sh", str(ROOT / "deploy" / "venv.sh")],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_passes_over_pythons_that_do_not_run(tmp_path):
    for name in ("python3.13", "python3.12", "python3.11", "python3", "python"):
        shim = tmp_path / name
        shim.write_text("#!/bin/sh\necho 'version is not installed' >&2\nexit 127\n")
        shim.chmod(0o755)
    done = venv(tmp_path, PATH=str(tmp_path))
    assert done.returncode == 1
    assert "No Python 3.11, 3.12 or 3.13 with venv found" in done.stderr


def test_it_refuses_a_named_python_that_does_not_fit(tmp_path):
    done = venv(tmp_path, PATH=os.environ["PATH"], PYTHON="/nonexistent")
    assert done.returncode == 1
    assert "PYTHON=/nonexistent does not run" in done.stderr
    assert not Path(tmp_path / ".venv").exists()
