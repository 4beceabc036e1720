"""Django settings. Values that differ between installations come from config.env."""

from typing import Any

import django_stubs_ext

from config import env

# Makes Django's generic classes subscriptable at run time.
django_stubs_ext.monkeypatch()

BASE_DIR = env.BASE_DIR
SECRET_KEY = env.secret_key()
DEBUG = env.DEBUG
ALLOWED_HOSTS = env.ALLOWED_HOSTS

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "gateway",
    "routing",
    "smpp_bind",
    "webhooks",
    "config",
]

MIDDLEWARE = [
    "gateway.api.shortcut.Shortcut",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "gateway.admin.policy.middleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Beside the doors that they belong to.
        "DIRS": [BASE_DIR / "gateway" / "admin" / "html"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# One connection a thread, kept; statements are bound and prepared by the server (the hot path repeats a dozen).
# A transaction pooler in front needs DATABASE_PREPARE=0.
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.database(),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
# As the admin shows moments: a language's own formats go before DATETIME_FORMAT.
FORMAT_MODULE_PATH = "gateway.admin.formats"

STATIC_URL = "/static/"
STATIC_ROOT = env.HOME / "static"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# A body of 2 MiB is the contract's limit; the API's own reader answers 413 in JSON before Django would.
DATA_UPLOAD_MAX_MEMORY_SIZE = 3 * 1024 * 1024
MAX_BODY_BYTES = 2 * 1024 * 1024

# Whose X-Forwarded-For counts, as ipaddress networks: the proxies in front.
TRUSTED_PROXIES = env.trusted_proxies()

REST_FRAMEWORK = {
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_AUTHENTICATION_CLASSES": ["gateway.api.authentication.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["gateway.api.authentication.HasPermission"],
    "DEFAULT_RENDERER_CLASSES": ["gateway.api.rendering.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["gateway.api.parsing.JSONParser"],
    "EXCEPTION_HANDLER": "gateway.api.errors.answer",
}

ENCRYPTION_KEYS = env.encryption_keys()
FINGERPRINT_KEY = env.fingerprint_key()
CALLBACK_ALLOWED_NETWORKS = env.callback_allowed_networks()

# A tenant with this many messages waiting is told to slow down: accepting outruns delivery seven to one.
TENANT_BACKLOG_LIMIT = int(env.number("TENANT_BACKLOG_LIMIT", 1_000_000))
# Requests per second, and at once, of keys without a rate of their own: 0 is no limit, and the rate.
KEY_RATE = env.bounded_number("KEY_RATE", 10_000)
KEY_BURST = int(env.bounded_number("KEY_BURST", 0))
RETENTION_DAYS = int(env.number("RETENTION_DAYS", 30))

# Where the API's processes count, and who may read it at /metrics.
METRICS_FOLDER = env.metrics_folder()
METRICS_ALLOWED_NETWORKS = env.metrics_allowed_networks()

# Where workers keep acceptances until they are stored: a local disk that outlives the process.
JOURNAL_FOLDER = env.HOME / "journal"

# One provider, one class; imported where it is first used, so that no app imports outward.
TRANSPORTS = {
    "smpp": "smpp_bind.transport.SmppTransport",
    "http": "routing.transports.http_generic.HttpGenericTransport",
    "whatsapp": "routing.transports.whatsapp.WhatsAppTransport",
    "rcs": "routing.transports.rcs.RcsTransport",
    "simulator": "routing.transports.simulator.SimulatorTransport",
    "sandbox": "routing.transports.sandbox.SandboxTransport",
}

LOGGING_CONFIG = "config.logs.configure"
LOG_LEVEL = env.LOG_LEVEL
LOG_FORMAT = env.LOG_FORMAT
LOGGING: dict[str, Any] = {"level": LOG_LEVEL, "format": LOG_FORMAT}

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
