"""The routes of every app."""

from django.contrib import admin
from django.urls import include, path, re_path

from config import health, metrics
from gateway.api import views
from routing import intake

urlpatterns = [
    path("v1/", include("gateway.api.urls")),
    path("v1/", include("webhooks.api.urls")),
    # Last of its kind: what no app answers under /v1 is a JSON 404.
    re_path(r"^v1(?:/.*)?$", views.Unknown.as_view()),
    # Where operators post; the token in a path is the secret of operators that can send nothing else.
    path("intake/<slug:slug>/receipts", intake.take_receipts),
    path("intake/<slug:slug>/receipts/<str:token>", intake.take_receipts),
    path("intake/<slug:slug>/inbound", intake.take_inbound),
    path("intake/<slug:slug>/inbound/<str:token>", intake.take_inbound),
    path("intake/<slug:slug>/events", intake.take_events),
    re_path(r"^intake(?:/.*)?$", intake.unknown),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", metrics.show),
    path("admin/", admin.site.urls),
]

handler400 = views.bad_request
handler403 = views.forbidden
handler404 = views.not_found
handler500 = views.server_error
