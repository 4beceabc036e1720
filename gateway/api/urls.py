"""The gateway's paths under ``/v1/``. Collections answer with and without a trailing slash, never by redirect."""

from django.urls import path

from gateway.api import bulk, catalogue, docs, messages

urlpatterns = [
    path("messages", messages.Messages.as_view()),
    path("messages/", messages.Messages.as_view()),
    path("messages/bulk", bulk.Bulk.as_view()),
    path("messages/bulk/", bulk.Bulk.as_view()),
    path("messages/<str:message_id>", messages.OneMessage.as_view()),
    path("messages/<str:message_id>/", messages.OneMessage.as_view()),
    path("messages/<str:message_id>/events", messages.Events.as_view()),
    path("messages/<str:message_id>/events/", messages.Events.as_view()),
    path("messages/<str:message_id>/cancel", messages.Cancel.as_view()),
    path("messages/<str:message_id>/cancel/", messages.Cancel.as_view()),
    path("error-codes", catalogue.ErrorCodes.as_view()),
    path("error-codes/", catalogue.ErrorCodes.as_view()),
    path("openapi.json", docs.OpenApi.as_view()),
    path("docs", docs.Docs.as_view()),
    path("docs/", docs.Docs.as_view()),
]
