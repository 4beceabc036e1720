"""The routes of every app."""

from django.contrib import admin
from django.urls import include, path, re_path

from config import health, metrics
from gateway.api import views

urlpatterns = [
    path("v1/", include("gateway.api.urls")),
    path("v1/", include("webhooks.api.urls")),
    # Last of its kind: what no app answers under /v1 is a JSON 404.
    re_path(r"^v1(?:/.*)?$", views.Unknown.as_view()),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", metrics.show),
    path("admin/", admin.site.urls),
]

handler400 = views.bad_request
handler403 = views.forbidden
handler404 = views.not_found
handler500 = views.server_error
