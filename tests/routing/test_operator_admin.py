"""What an operator's page shows of it, and what it takes."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing import operators, provisioning, quiet
from routing.contract import TransportState
from routing.models import Operator
from routing.provisioning import ProvisioningError

pytestmark = pytest.mark.django_db

SMPP = {"host": "127.0.0.1", "port": 2775, "system_id": "me"}
NIGHT = {"windows": ["21:00-08:00"], "timezone": "Asia/Kolkata"}


@pytest.fixture
def chief() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("chief"))
    return client


@pytest.fixture
def operator(make_operator) -> Operator:
    return make_operator("one", settings={})


def page(operator: Operator) -> str:
    return reverse("admin:routing_operator_change", args=[operator.pk])


def form(**fields: str) -> dict[str, str]:
    table = {f"routes-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
    return {
        "name": "", "transport": "simulator", "channel": "sms", "active": "on", "id_mode": "as_is",
        "on_unknown_outcome": "retry", "settings": "{}",
    } | table | fields  # fmt: skip


def test_it_shows_quiet_hours_now_and_next(chief, operator):
    operator.settings = {"quiet_hours": NIGHT}
    operator.save()
    shown = chief.get(page(operator)).content.decode()
    assert "21:00 Asia/Kolkata" in shown or "08:00 Asia/Kolkata" in shown


@pytest.mark.parametrize(
    ("given_hours", "at", "said"),
    [
        (None, "2026-06-01T20:00", "none"),
        (NIGHT, "2026-06-01T20:00", "quiet now, until 2026-06-02 02:30 UTC (08:00 Asia/Kolkata)"),
        (NIGHT, "2026-06-01T12:00", "not now; the next begin 2026-06-01 15:30 UTC (21:00 Asia/Kolkata)"),
        (NIGHT | {"timezone": "recipient"}, "2026-06-01T12:00", "by the recipient's clock; quiet now in "),
        ({"windows": []}, "2026-06-01T12:00", "They cannot be read, so nothing is sent: quiet_hours."),
    ],
)
def test_quiet_hours_are_told_in_words(given_hours, at, said):
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert quiet.told(given=given_hours, now=now).startswith(said)


def test_it_shows_each_binds_phase_and_last_error(chief, operator):
    binds = [
        {"kind": "transmitter", "phase": "bound", "lastError": ""},
        {"kind": "receiver", "phase": "waiting", "lastError": "ESME_RALYBND <b>"},
    ]
    state = TransportState(up=True, window=10, detail={"state": "1 of 2 bound", "binds": binds})
    operators.report(worker="w1", states={operator.pk: state})
    shown = chief.get(page(operator)).content.decode()
    assert "state 1 of 2 bound" in shown
    assert "binds 1: kind transmitter, phase bound" in shown
    assert "binds 2: kind receiver, phase waiting, lastError ESME_RALYBND &lt;b&gt;" in shown


def test_its_buttons_pass_it_over_and_trust_it_again(chief, operator):
    pass_over = reverse("admin:routing_operator_pass_over", args=[operator.pk])
    trust = reverse("admin:routing_operator_trust", args=[operator.pk])
    assert pass_over in chief.get(page(operator)).content.decode()
    assert chief.get(pass_over).status_code == 405
    assert chief.post(pass_over).headers["Location"] == page(operator)
    operator.refresh_from_db()
    assert operator.tripped_until > timezone.now() + timedelta(minutes=50)
    assert trust in chief.get(page(operator)).content.decode()
    chief.post(trust)
    operator.refresh_from_db()
    assert operator.tripped_until is None


def test_its_buttons_need_the_permission_to_change_it(operator):
    clerk = Client()
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_operator"))
    clerk.force_login(user)
    pass_over = reverse("admin:routing_operator_pass_over", args=[operator.pk])
    assert pass_over not in clerk.get(page(operator)).content.decode()
    assert clerk.post(pass_over).status_code == 403
    operator.refresh_from_db()
    assert operator.tripped_until is None


@pytest.mark.parametrize(
    ("transport", "given_settings", "said"),
    [
        ("simulator", '{"quiet_hours": {"windows": ["9-5"], "timezone": "UTC"}}', "quiet_hours.windows[0]"),
        ("simulator", '{"quiet_hours": []}', "quiet_hours must be an object"),
        ("simulator", '{"breaker": 1}', "breaker"),
        ("simulator", '{"slow_seconds": 0}', "slow_seconds"),
        ("smpp", "{}", "host"),
        ("http", '{"url": 5}', "url"),
    ],
)
def test_settings_that_are_wrong_are_said_beside_the_settings(
    chief, operator, transport, given_settings, said
):
    answer = chief.post(page(operator), form(transport=transport, settings=given_settings))
    assert answer.status_code == 200
    assert said in " ".join(answer.context["adminform"].form.errors["settings"])
    operator.refresh_from_db()
    assert (operator.transport, operator.settings) == ("simulator", {})


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    "host", "port", "system_id", "bind", "binds", "window", "tls", "url", "method", "headers", "body", "auth",
    "success", "timeout", "alphabet", "source", "submit_errors", "data_coding", "inbound", "max_binds", "quiet_hours",
    "slow_seconds", "no_receipts_minutes", "breaker", "phone_number_id", "agent_id", "base_url",
]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["smpp", "http", "whatsapp", "rcs", "simulator"]),
    st.dictionaries(st.sampled_from(NAMES), junk, max_size=4),
)
def test_no_settings_get_past_a_transports_own_reader(transport, members):
    """Whatever they are, they are taken, or refused in words."""
    channel = transport if transport in {"whatsapp", "rcs"} else "sms"
    base = SMPP if transport == "smpp" else {}
    operator = Operator(slug="fuzz", transport=transport, channel=channel, settings=base | members)
    with contextlib.suppress(ProvisioningError):
        provisioning.check(operator)
