"""The Celery application: queues an operator, one for callbacks, and the long-lived parts of their workers."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from celery import Celery, signals

from config import broker as _broker  # noqa: F401 - gives filesystem:// its meaning
from config import env


def _settings() -> dict[str, object]:
    """Celery's settings for the broker in use."""
    shared: dict[str, object] = {
        "task_acks_late": True,
        "task_ignore_result": True,
        "task_default_queue": "default",
        "task_create_missing_queues": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_send_task_events": False,
        "worker_enable_remote_control": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_publish_retry": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "timezone": "UTC",
    }
    url = env.broker_url()
    if url.startswith("filesystem"):
        folder = env.broker_folder()
        return shared | {
            "broker_url": "filesystem://",
            "broker_transport_options": {
                "data_folder_in": str(folder / "queues"),
                "data_folder_out": str(folder / "queues"),
                "control_folder": str(folder / "control"),
                "polling_interval": 0.005,
            },
        }
    if not url.startswith("amqp"):
        return shared | {"broker_url": url}
    return shared | {
        "broker_url": url,
        # The first is for the default queue alone; ours are all made on first use.
        "task_default_queue_type": "quorum",
        "task_create_missing_queue_type": "quorum",
        "broker_transport_options": {"confirm_publish": True, "confirm_timeout": 5.0},
    }


app = Celery("trunkline", set_as_current=True)
app.conf.update(_settings())
# Else Celery closes the database connections before and after every task; whoever meets a broken one closes it.
app.conf["CELERY_DB_REUSE_MAX"] = 10**9
app.autodiscover_tasks(["routing", "webhooks"])


@signals.setup_logging.connect
def _leave_logging(**_: object) -> None:
    """Celery would set levels of its own: config.logs has spoken already."""


@signals.worker_init.connect
def _plan(**_: object) -> None:
    """Workers read queues by their indexes."""
    from config import plans

    plans.keep_to_indexes()


def _add_steps() -> None:
    """The long-lived parts of the workers; each decides by the queues it is given whether it is wanted."""
    app.steps["worker"].add("routing.worker.DeskStep")
    app.steps["consumer"].add("routing.worker.QueuesStep")
    app.steps["worker"].add("webhooks.worker.DispatcherStep")


_add_steps()
