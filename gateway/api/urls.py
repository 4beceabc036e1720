"""The gateway's paths under ``/v1/``. Collections answer with and without a trailing slash, never by redirect."""

from django.urls import path

from gateway.api import (
    analytics,
    batches,
    bulk,
    catalogue,
    contacts,
    docs,
    inbound,
    keywords,
    messages,
    opt_outs,
    preview,
    reports,
    sandbox,
    templates,
)
from gateway.api.paths import both

urlpatterns = [
    *both("messages", messages.Messages.as_view()),
    *both("messages/bulk", bulk.Bulk.as_view()),
    *preview.ROUTES,
    *both("messages/<str:message_id>", messages.OneMessage.as_view()),
    *both("messages/<str:message_id>/events", messages.Events.as_view()),
    *both("messages/<str:message_id>/cancel", messages.Cancel.as_view()),
    *batches.ROUTES,
    *templates.ROUTES,
    *contacts.ROUTES,
    *opt_outs.ROUTES,
    *inbound.ROUTES,
    *keywords.ROUTES,
    *sandbox.ROUTES,
    *analytics.ROUTES,
    *reports.ROUTES,
    *both("error-codes", catalogue.ErrorCodes.as_view()),
    path("openapi.json", docs.OpenApi.as_view()),
    *both("docs", docs.Docs.as_view()),
]
