"""The data folder."""

import base64
import os
import socket
import stat

import pytest

from deploy import files, home


def test_it_is_made_where_trunkline_home_says(tmp_path):
    folder = home.folder({"TRUNKLINE_HOME": str(tmp_path / "a" / "b")})
    assert folder == tmp_path / "a" / "b"
    assert stat.S_IMODE((folder / "broker").stat().st_mode) == 0o700


def test_it_keeps_its_secrets(tmp_path):
    first = home.kept_secrets(tmp_path)
    assert home.kept_secrets(tmp_path) == first
    assert len(base64.b64decode(first["encryption_key"])) == 32
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_it_adds_a_secret_that_an_older_release_did_not_know(tmp_path):
    files.write_json(tmp_path / "secrets.json", {"secret_key": "old", "encryption_key": "kept"})
    kept = home.kept_secrets(tmp_path)
    assert (kept["secret_key"], kept["encryption_key"]) == ("old", "kept")
    assert kept["demo_webhook_secret"].startswith("whsec_")


def test_it_is_held_by_one_process(tmp_path):
    with home.lock(tmp_path):
        with pytest.raises(home.HomeError, match=rf"already runs in {tmp_path} \(process {os.getpid()}\)"):
            home.lock(tmp_path)
    home.lock(tmp_path).close()


def test_it_refuses_a_busy_port():
    with socket.socket() as busy:
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(home.HomeError, match="choose another"):
            home.check_port(busy.getsockname()[1])


def test_it_finds_ports_that_no_client_is_given():
    port = home.free_port()
    assert 15000 <= port < 32768
    home.check_port(port)


def test_it_replaces_a_file_and_not_what_a_link_points_to(tmp_path):
    target = tmp_path / "target"
    target.write_text("untouched")
    (tmp_path / "link").symlink_to(target)
    files.write(tmp_path / "link", "new")
    assert target.read_text() == "untouched"
    assert (tmp_path / "link").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "target"]
