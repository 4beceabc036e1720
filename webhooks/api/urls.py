"""Routes below ``/v1/``. The collection answers with and without its slash: a redirect would turn POST into GET."""

from django.urls import path

from gateway.api import openapi
from webhooks.api import description
from webhooks.api.webhooks import Collection, Member

openapi.include(description.PART)

urlpatterns = [
    path("webhooks/messages", Collection.as_view()),
    path("webhooks/messages/", Collection.as_view()),
    path("webhooks/messages/<str:key>", Member.as_view()),
    path("webhooks/messages/<str:key>/", Member.as_view()),
]
