"""The WSGI entry point."""

import os

from django.core import signals
from django.core.cache import close_caches
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, reset_queries

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()

# Looking twice a request whether a connection is too old, and once whether a cache wants closing, is a tenth of what
# accepting a message costs. Connections are looked at when a request ends; there is no cache that needs closing.
signals.request_started.disconnect(reset_queries)
signals.request_started.disconnect(close_old_connections)
signals.request_finished.disconnect(close_caches)
