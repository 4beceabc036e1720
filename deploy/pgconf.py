"""Settings of the embedded PostgreSQL: two cores, little memory, and rows that must survive a power cut."""

from pathlib import Path

# Statements are logged without their values, and errors without the detail that quotes a row: both could
# hold a phone number.
SETTINGS: dict[str, str] = {
    "max_connections": "120",
    "shared_buffers": "96MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "huge_pages": "off",
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "jit": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "wal_compression": "off",
    "wal_buffers": "8MB",
    "min_wal_size": "256MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "autovacuum_naptime": "10s",
    "autovacuum_max_workers": "2",
    "autovacuum_work_mem": "32MB",
    "max_locks_per_transaction": "256",
    "client_connection_check_interval": "5s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %a ",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_min_duration_statement": "5s",
}

# The superuser can log in from nowhere: it exists for single-user mode only.
HBA = "local all trunkline scram-sha-256\n"


def quoted(text: str) -> str:
    """A value as postgresql.conf and SQL write it."""
    return "'" + text.replace("'", "''") + "'"


def render(*, sockets: Path) -> str:
    """The text of postgresql.conf for a server that listens on a Unix socket in `sockets` only."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        **SETTINGS,
    }
    return "".join(f"{name} = {quoted(value)}\n" for name, value in settings.items())
