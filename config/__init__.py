"""Wires the apps together. Importing it makes the Celery application current, as ``celery -A config`` expects."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
