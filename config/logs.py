"""Structured logs: a constant event name, ids as fields; JSON lines, or readable lines on a terminal.

Never a message body, a full phone number, a key or a secret.
"""

import logging
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    # The protocols log by the standard library, their fields as `extra`.
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
]


def configure(settings: dict[str, Any]) -> None:
    """Send both structlog and the standard library's loggers through one formatter to stderr."""
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=False)
        if settings["format"] == "console"
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings["level"])
    for noisy in ("django.request", "amqp", "kombu"):
        logging.getLogger(noisy).setLevel("ERROR")
    # A line for each task received and done, at thousands of messages a second.
    for noisy in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(noisy).setLevel("WARNING")
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
