"""``/v1/sandbox``: what only a sandbox has."""

from datetime import UTC, datetime

from django.http import HttpResponse
from django.urls import URLPattern

from gateway import errors, inbound
from gateway.api import schema
from gateway.api.fields import Members
from gateway.api.inbound import resource
from gateway.api.opt_outs import SENDER
from gateway.api.paths import both
from gateway.api.views import StrictRequest, View, answer, credential
from gateway.inbound import Arrival
from gateway.models.tenant import is_sandbox

OPERATOR = "sandbox"
TO = "SANDBOX"
TEXT_LENGTH = 1600


class SimulatedInbound(View):
    """A handset's message to one of the tenant's numbers, made up."""

    permission = "messages:send"

    def post(self, request: StrictRequest) -> HttpResponse:
        tenant_id = credential(request).tenant_id
        if not is_sandbox(tenant_id):
            raise errors.FeatureDisabled("Only in developer mode: send the header x-developer-mode: true.")
        arrival = _arrival(request)
        (row,) = inbound.receive(tenant_id=tenant_id, arrivals=[arrival])
        return answer(request, resource(row), status=201)


def _arrival(request: StrictRequest) -> Arrival:
    members = Members(request.members, known=("from", "to", "text", "channel"))
    sender = members.phone("from", required=True)
    to = members.text("to", longest=16)
    if to is not None and not SENDER.fullmatch(to):
        members.fault("to", errors.InvalidSender.code, errors.InvalidSender.message)
    text = members.text("text", required=True, longest=TEXT_LENGTH)
    channel = members.choice("channel", tuple(schema.CHANNELS))
    members.check()
    return Arrival(
        operator=OPERATOR,
        sender=sender or "",
        recipient=to or TO,
        text=text or "",
        received_at=datetime.now(tz=UTC),
        raw={"simulated": True},
        channel=channel or "sms",
    )


ROUTES: list[URLPattern] = [*both("sandbox/inbound", SimulatedInbound.as_view())]
