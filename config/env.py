"""The only reader of the process environment.

Whatever is not in the environment is looked for in the files that ``make run`` keeps in its data folder, so
that a management command typed into another terminal finds the running stack without any setting.
"""

import base64
import hashlib
import json
import os
import socket
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

_env = environ.Env()


def _folder() -> Path:
    """The data folder: ``TRUNKLINE_HOME``, else ``.trunkline`` in the checkout."""
    return Path(_env.str("TRUNKLINE_HOME", default=str(BASE_DIR / ".trunkline"))).absolute()


def _kept(name: str) -> dict[str, Any]:
    """The members of one of the data folder's JSON files; empty when there is none."""
    try:
        kept = json.loads((HOME / name).read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(f"{HOME / name} cannot be read: {error}") from error
    return dict(kept)


HOME = _folder()
_state = _kept("state.json")
_secrets = _kept("secrets.json")

DEBUG = _env.bool("DEBUG", default=False)
ALLOWED_HOSTS: list[str] = _env.list("ALLOWED_HOSTS", default=["*"])
LOG_LEVEL = _env.str("LOG_LEVEL", default="INFO")
LOG_FORMAT = _env.str("LOG_FORMAT", default="json")


def database_url() -> str:
    """The DSN of PostgreSQL: ``DATABASE_URL``, else the embedded server of the data folder."""
    url = _env.str("DATABASE_URL", default="") or str(_state.get("database_url", ""))
    if not url:
        raise ImproperlyConfigured(
            "No database: set DATABASE_URL, or start the embedded one with `make run` "
            f"(its data folder is {HOME}; set TRUNKLINE_HOME if it is elsewhere)."
        )
    return url


def database() -> dict[str, Any]:
    """Django's DATABASES entry for :func:`database_url`."""
    parsed: dict[str, Any] = _env.db_url_config(database_url())
    if parsed["ENGINE"] != "django.db.backends.postgresql":
        raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL server: postgresql://…")
    options = dict(parsed.get("OPTIONS", {}))
    options.update(
        server_side_binding=True,
        prepare_threshold=3 if _env.bool("DATABASE_PREPARE", default=True) else None,
        application_name=role(),
        options="-c jit=off -c timezone=UTC",
    )
    return {**parsed, "OPTIONS": options, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}


def broker_url() -> str:
    """The broker's URL; ``filesystem://`` (the data folder) when none is given."""
    return _env.str("BROKER_URL", default="") or str(_state.get("broker_url", "")) or "filesystem://"


def broker_folder() -> Path:
    """Where the filesystem transport keeps its messages."""
    home_default = HOME / "broker"
    return Path(_env.str("BROKER_FOLDER", default=str(home_default)))


def secret_key() -> str:
    """Django's SECRET_KEY.

    Raises:
        ImproperlyConfigured: when neither the environment nor the data folder has one.
    """
    key = _env.str("SECRET_KEY", default="") or str(_secrets.get("secret_key", ""))
    if not key:
        raise ImproperlyConfigured("SECRET_KEY is not set (`make run` keeps one in its data folder).")
    return key


def encryption_keys() -> list[bytes]:
    """AES-256 keys for what is sealed at rest, 32 bytes each; the first seals, all of them open.

    ``ENCRYPTION_KEYS`` is a comma-separated list of base64 texts.
    """
    texts: list[str] = _env.list("ENCRYPTION_KEYS", default=[]) or [
        text for text in [_secrets.get("encryption_key")] if text
    ]
    try:
        keys = [base64.b64decode(text, validate=True) for text in texts]
    except ValueError as error:
        raise ImproperlyConfigured(f"ENCRYPTION_KEYS is not base64: {error}") from error
    if not keys:
        raise ImproperlyConfigured("ENCRYPTION_KEYS is not set (`make run` keeps one in its data folder).")
    if any(len(key) != 32 for key in keys):
        raise ImproperlyConfigured("Each of ENCRYPTION_KEYS must be 32 bytes, base64.")
    return keys


def fingerprint_key() -> bytes:
    """The key of the keyed hash that API keys are looked up by; must not change when keys rotate."""
    given = _env.str("FINGERPRINT_KEY", default="") or str(_secrets.get("fingerprint_key", ""))
    return hashlib.sha256(b"api-key fingerprint:" + (given or secret_key()).encode()).digest()


def callback_allowed_networks() -> list[IPv4Network | IPv6Network]:
    """Networks that callbacks may reach although they are private; empty by default."""
    return _networks("CALLBACK_ALLOWED_NETWORKS", _env.list("CALLBACK_ALLOWED_NETWORKS", default=[]))


def trusted_proxies() -> list[IPv4Network | IPv6Network]:
    """The proxies in front, whose X-Forwarded-For counts; empty by default."""
    return _networks("TRUSTED_PROXIES", _env.list("TRUSTED_PROXIES", default=[]))


def _networks(name: str, texts: list[str]) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(text.strip()) for text in texts if text.strip()]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from error


def number(name: str, default: float) -> float:
    """A numeric setting."""
    return float(_env.str(name, default=str(default)))


def bounded_number(name: str, default: float) -> float:
    """A numeric setting that must not be negative, nor beyond a million."""
    value = number(name, default)
    if not 0 <= value <= 1e6:
        raise ImproperlyConfigured(f"{name} must be 0 to 1000000.")
    return value


def role() -> str:
    """A short name of this process, for logs and the database's list of connections."""
    return str(_env.str("TRUNKLINE_ROLE", default="trunkline"))


def demo_webhook_secret() -> str:
    """The secret that the demo's listener verifies with, ``whsec_…``; empty outside ``make run``."""
    return _env.str("DEMO_WEBHOOK_SECRET", default="") or str(_secrets.get("demo_webhook_secret", ""))


def metrics_folder() -> Path:
    """Where the API's processes of this machine keep what they count; the library is told by its own variable."""
    folder = HOME / "metrics" / socket.gethostname()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return folder


def metrics_allowed_networks() -> list[IPv4Network | IPv6Network]:
    """Who may read ``/metrics``; this machine by default."""
    given: list[str] = _env.list("METRICS_ALLOWED_NETWORKS", default=["127.0.0.0/8", "::1/128"])
    return _networks("METRICS_ALLOWED_NETWORKS", given)
