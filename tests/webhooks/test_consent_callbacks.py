"""What webhooks are told of opt-outs that no handset asked for."""

import json

import pytest

from gateway import opt_outs
from gateway.models import Event
from tests.fakes.http_listener import Listener
from tests.webhooks.world import carry, make_webhook
from webhooks.models import Callback

HANDSET = "+14155550101"


@pytest.mark.django_db(transaction=True)
def test_it_says_who_was_opted_out_and_in_by_hand(sending, tenant):
    with Listener() as listener:
        make_webhook(tenant, listener.url(), events=["contact.opted_out", "contact.opted_in"])
        row, _new = opt_outs.add(
            tenant_id=tenant.pk, phone=HANDSET, sender="ACME", source="api", reason="By phone"
        )
        opt_outs.remove_one(tenant_id=tenant.pk, opt_out_id=row.pk)
        carry()
        requests = listener.wait_for(2)
    found = {body["type"]: body for body in (json.loads(request.body) for request in requests)}
    expected = {
        "phone": HANDSET,
        "scope": "sender",
        "sender": "ACME",
        "reason": "By phone",
        "text": None,
        "inboundId": None,
        "channel": "sms",
    }
    for sequence, type_ in enumerate(("contact.opted_out", "contact.opted_in"), 1):
        at = found[type_]["timestamp"]
        assert found[type_]["data"] == expected | {"sequence": sequence, "occurredAt": at}
    assert set(Event.objects.values_list("message_id", flat=True)) == {row.pk}


def test_it_tells_of_no_text_message_where_there_was_none(tenant):
    make_webhook(tenant, events=["OPT_OUT_SMS"])
    opt_outs.add(tenant_id=tenant.pk, phone=HANDSET, sender="", source="api")
    assert not Callback.objects.exists()
