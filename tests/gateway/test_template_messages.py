"""Messages whose text a template makes."""

import subprocess
import sys
import time

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gateway import content, templates
from gateway.models import Message, Template
from gateway.models.tenant import sandbox_of
from tests.factories import message

MESSAGES = "/v1/messages"


@pytest.fixture(autouse=True)
def _forget():
    templates.forget()


def make(caller, **members) -> Template:
    values = {
        "name": "code",
        "language": "en",
        "channels": ["sms"],
        "body": "Code {{code}}",
        "category": "utility",
    }
    return templates.create(tenant_id=caller.tenant.pk, values=values | members)


def filled(name="code", language="en", channel="sms", **variables):
    template = {"name": name, "language": language, "variables": variables}
    return message(channel=channel, content={"template": template})


def text_of(caller, answer) -> str:
    assert answer.status == 200, answer.content
    return caller.get(f"{MESSAGES}/{answer.json['id']}").json["renderedText"]


def test_shows_what_was_asked_for_and_what_became_of_it(acme):
    make(acme, body="Dear {{name}}, {{ 1 }} for {{name}}")
    variables = {"name": "Ann", "1": 4711}
    asked = {"template": {"name": "code", "language": "en", "variables": variables}}
    answer = acme.post(MESSAGES, message(content=asked))
    assert (answer.status, answer.json["encoding"], answer.json["parts"]) == (200, "GSM-7", 1)
    read = acme.get(f"{MESSAGES}/{answer.json['id']}").json
    assert read["content"] == asked
    assert read["renderedText"] == "Dear Ann, 4711 for Ann"
    listed = acme.get(MESSAGES).json["data"][0]
    assert (listed["content"], listed["renderedText"]) == (asked, "Dear Ann, 4711 for Ann")
    assert Message.objects.get().text == "Dear Ann, 4711 for Ann"


def test_shows_no_rendered_text_without_a_template(acme):
    key = acme.post(MESSAGES, message()).json["id"]
    assert acme.get(f"{MESSAGES}/{key}").json["renderedText"] is None


@pytest.mark.parametrize(
    ("value", "encoding", "parts"),
    [
        ("1", "GSM-7", 1),
        ("x" * 155, "GSM-7", 1),
        ("x" * 156, "GSM-7", 2),
        ("€" * 78, "GSM-7", 2),
        ("я", "UCS-2", 1),
        ("я" * 66, "UCS-2", 2),
        ("😀" * 33, "UCS-2", 2),
    ],
)
def test_counts_the_parts_of_what_it_becomes(acme, value, encoding, parts):
    make(acme)
    answer = acme.post(MESSAGES, filled(code=value))
    assert (answer.json["encoding"], answer.json["parts"]) == (encoding, parts)
    assert Message.objects.get().parts == parts


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5, "5"),
        (-1.5, "-1.5"),
        (10**30, "1" + "0" * 30),
        ("", ""),
        ("{{code}}{{other}}", "{{code}}{{other}}"),
        ("\\1 \\g<0> %s {0}", "\\1 \\g<0> %s {0}"),
        ("x" * 1024, "x" * 1024),
    ],
)
def test_puts_a_value_in_as_it_is(acme, value, shown):
    make(acme)
    assert text_of(acme, acme.post(MESSAGES, filled(code=value))) == f"Code {shown}"


@pytest.mark.parametrize(
    ("languages", "asked", "chosen"),
    [
        (["fr"], None, "fr"),
        (["fr", "en"], None, "en"),
        (["fr", "de"], None, None),
        (["fr", "en-GB"], None, None),
        (["fr"], "fr", "fr"),
        (["fr"], "en", None),
        (["fr"], "de-fr", None),
        (["fr", "en"], "en-GB", "en"),
        (["en-GB", "en"], "en-GB", "en-GB"),
        (["en-GB"], "en", None),
        (["en-GB"], "en-gb", "en-GB"),
        (["pt_BR"], "pt-BR", "pt_BR"),
        (["pt-BR", "pt"], "pt_br", "pt-BR"),
        (["pt-br", "pt-BR"], "pt-BR", "pt-BR"),
        (["pt-br", "pt-BR"], "pt-br", "pt-br"),
        (["zh", "zh-Hant"], "zh-Hant-TW", "zh-Hant"),
        (["zh", "zh-Hant"], "zh-Hans-CN", "zh"),
        (["en"], "", None),
        (["en"], "-", None),
        (["en"], "\u0130n", None),
    ],
)
def test_is_in_the_language_that_comes_nearest(acme, languages, asked, chosen):
    for language in languages:
        make(acme, language=language, body=language)
    answer = acme.post(MESSAGES, filled(language=asked))
    if chosen is None:
        assert (answer.status, answer.code) == (422, "TEMPLATE_NOT_FOUND")
    else:
        assert text_of(acme, answer) == chosen


def refused(answer, status, code, *fields) -> None:
    assert (answer.status, answer.code, answer.json["retryable"]) == (status, code, False), answer.content
    assert [detail["field"] for detail in answer.json["details"]] == list(fields)
    assert fields[0] in answer.json["message"] or len(fields) > 1
    assert not Message.objects.exists()


def test_is_refused_without_a_template(acme, other):
    make(other)
    refused(acme.post(MESSAGES, filled()), 422, "TEMPLATE_NOT_FOUND", "content.template")
    refused(acme.post(MESSAGES, filled("c" * 10_000)), 422, "TEMPLATE_NOT_FOUND", "content.template")


def test_is_refused_when_the_template_is_not_approved(acme):
    template = make(acme, channels=["sms", "rcs"])
    refused(acme.post(MESSAGES, filled(code=1)), 422, "TEMPLATE_NOT_APPROVED", "content.template")
    templates.reject(template=template, reason="No")
    refused(acme.post(MESSAGES, filled(code=1)), 422, "TEMPLATE_NOT_APPROVED", "content.template")
    templates.approve(template=template)
    assert acme.post(MESSAGES, filled(code=1)).status == 200


def test_is_refused_on_a_channel_that_the_template_is_not_for(acme):
    make(acme)
    answer = acme.post(MESSAGES, filled(channel="rcs", code=1))
    refused(answer, 422, "TEMPLATE_CHANNEL_MISMATCH", "content.template")


def test_is_refused_with_the_name_of_each_variable_it_lacks(acme):
    make(acme, body="{{a}} {{b}} {{c}}")
    answer = acme.post(MESSAGES, filled(b="x", c=None, d="unknown"))
    fields = ("content.template.variables.a", "content.template.variables.c")
    refused(answer, 422, "TEMPLATE_VARIABLE_MISSING", *fields)
    for nothing in ({}, {"variables": None}, {"variables": {}}):
        template = {"name": "code", "language": "en"} | nothing
        answer = acme.post(MESSAGES, message(content={"template": template}))
        assert answer.code == "TEMPLATE_VARIABLE_MISSING"
        assert len(answer.json["details"]) == 3


@pytest.mark.parametrize(
    ("variables", "field", "code"),
    [
        ({"other": "x"}, "other", "UNKNOWN_MEMBER"),
        ({"": "x"}, "", "UNKNOWN_MEMBER"),
        ({"code": True}, "code", "INVALID_TYPE"),
        ({"code": ["x"]}, "code", "INVALID_TYPE"),
        ({"code": {"x": "y"}}, "code", "INVALID_TYPE"),
        ({"code": "x" * 1025}, "code", "INVALID_LENGTH"),
        ({"code": 10**1100}, "code", "INVALID_LENGTH"),
    ],
)
def test_is_refused_for_a_variable_that_is_wrong(acme, variables, field, code):
    make(acme)
    answer = acme.post(MESSAGES, filled(**({"code": "x"} | variables)))
    refused(answer, 400, "VALIDATION_FAILED", f"content.template.variables.{field}")
    assert answer.json["details"][0]["code"] == code


def test_takes_what_stands_beside_the_body_on_whatsapp_only(acme):
    make(acme, channels=["whatsapp", "rcs"])
    Template.objects.update(status=Template.Status.APPROVED)
    templates.forget()
    beside = {"header.1": "A", "header.image": "https://example.com/a.png", "button.0.url": "x"}
    variables = {"code": "5", **beside}
    answer = acme.post(MESSAGES, filled(channel="whatsapp", **variables))
    assert text_of(acme, answer) == "Code 5"
    stored = Message.objects.get(pk=answer.json["id"]).content["template"]["variables"]
    assert stored == variables
    refused = acme.post(MESSAGES, filled(channel="rcs", **variables))
    assert {detail["code"] for detail in refused.json["details"]} == {"UNKNOWN_MEMBER"}
    odd = acme.post(MESSAGES, filled(channel="whatsapp", code="5", **{"button.10.url": "x"}))
    assert odd.json["details"][0]["field"] == "content.template.variables.button.10.url"


def test_is_refused_for_a_number_beyond_all_numbers(acme):
    make(acme)
    body = b'{"to": "+14155550101", "content": {"template": {"name": "code", "variables": {"code": -1e999}}}}'
    refused(acme.send("POST", MESSAGES, body), 400, "VALIDATION_FAILED", "content.template.variables.code")


@pytest.mark.parametrize("channel", list(content.LONGEST))
def test_is_refused_when_it_becomes_too_long(acme, channel):
    longest = content.LONGEST[channel]
    body = "x" * (longest - 1024) + "{{a}}{{b}}"
    template = make(acme, channels=[channel], body=body)
    templates.approve(template=template)
    answer = acme.post(MESSAGES, filled(channel=channel, a="y" * 1024, b="z"))
    refused(answer, 400, "TEXT_TOO_LONG", "content.template")
    assert len(text_of(acme, acme.post(MESSAGES, filled(channel=channel, a="y" * 1024, b="")))) == longest


def test_is_refused_when_nothing_is_left_of_it(acme):
    make(acme, body="{{a}}{{b}}")
    refused(acme.post(MESSAGES, filled(a="", b="")), 400, "VALIDATION_FAILED", "content.template")


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ("code", "content.template"),
        ([], "content.template"),
        ({}, "content.template.name"),
        ({"name": 5}, "content.template.name"),
        ({"name": "code", "language": 5}, "content.template.language"),
        ({"name": "code", "variables": "x"}, "content.template.variables"),
        ({"name": "code", "variables": [1]}, "content.template.variables"),
        ({"name": "code", "body": "x"}, "content.template.body"),
    ],
)
def test_is_refused_for_a_template_that_is_none(acme, template, field):
    make(acme)
    refused(acme.post(MESSAGES, message(content={"template": template})), 400, "VALIDATION_FAILED", field)


def test_is_of_the_sandbox_where_it_was_made(acme):
    make(acme)
    answer = acme.post(MESSAGES, filled(code=1), x_developer_mode="true")
    assert (answer.status, answer.code) == (422, "TEMPLATE_NOT_FOUND")
    values = {
        "name": "code",
        "language": "en",
        "channels": ["sms"],
        "body": "Fake {{code}}",
        "category": "other",
    }
    templates.create(tenant_id=sandbox_of(acme.tenant.pk), values=values)
    assert acme.post(MESSAGES, filled(code=1), x_developer_mode="true").status == 200
    assert Message.objects.get().text == "Fake 1"
    assert text_of(acme, acme.post(MESSAGES, filled(code=1))) == "Code 1"


def test_keeps_its_text_when_the_template_is_another(acme):
    template = make(acme)
    first = acme.post(MESSAGES, filled(code=1))
    templates.change(tenant_id=acme.tenant.pk, template_id=template.pk, changes={"body": "New {{code}}"})
    assert text_of(acme, acme.post(MESSAGES, filled(code=1))) == "New 1"
    templates.remove(tenant_id=acme.tenant.pk, template_id=template.pk)
    assert text_of(acme, first) == "Code 1"
    assert acme.post(MESSAGES, filled(code=1)).code == "TEMPLATE_NOT_FOUND"


def test_is_replayed_and_conflicts_like_any_other(acme):
    make(acme)
    asked = filled(code=1) | {"clientMessageId": "one"}
    first = acme.post(MESSAGES, asked)
    again = acme.post(MESSAGES, asked)
    assert (again.status, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.json | {"requestId": ""} == first.json | {"requestId": ""}
    conflict = acme.post(MESSAGES, filled(code=2) | {"clientMessageId": "one"})
    assert (conflict.status, conflict.code) == (409, "IDEMPOTENCY_CONFLICT")
    assert Message.objects.count() == 1


def test_is_replayed_when_its_template_is_gone(acme, other):
    template = make(acme)
    single = filled(code=1) | {"clientMessageId": "one"}
    step = {"channel": "sms", "content": single["content"]}
    stepped = message(clientMessageId="two", fallback=[step])
    firsts = [acme.post(MESSAGES, asked) for asked in (single, stepped)]
    templates.remove(tenant_id=acme.tenant.pk, template_id=template.pk)
    for asked, first in zip((single, stepped), firsts, strict=True):
        again = acme.post(MESSAGES, asked)
        assert (again.status, again.headers.get("Idempotent-Replayed")) == (200, "true")
        assert again.json | {"requestId": ""} == first.json | {"requestId": ""}
        assert acme.post("/v1/messages/preview", asked).code == "TEMPLATE_NOT_FOUND"
        assert other.post(MESSAGES, asked).code == "TEMPLATE_NOT_FOUND"
    conflict = acme.post(MESSAGES, filled(code=2) | {"clientMessageId": "one"})
    assert (conflict.status, conflict.code) == (409, "IDEMPOTENCY_CONFLICT")
    fresh = single | {"clientMessageId": "three"}
    assert acme.post(MESSAGES, fresh).code == "TEMPLATE_NOT_FOUND"
    bulk = acme.post(f"{MESSAGES}/bulk", {"messages": [single, fresh, stepped]}).json
    assert [result.get("id") for result in bulk["results"]] == [
        firsts[0].json["id"],
        None,
        firsts[1].json["id"],
    ]
    assert bulk["results"][1]["error"]["errorCode"] == "TEMPLATE_NOT_FOUND"
    assert Message.objects.count() == 2
    make(acme)
    assert acme.post(MESSAGES, fresh).status == 200, "the key was not used up"


def test_is_accepted_or_refused_each_for_itself_in_bulk(acme):
    make(acme)
    make(acme, name="waits", channels=["rcs"])
    bulk = acme.post(
        f"{MESSAGES}/bulk",
        {
            "messages": [
                filled(code=1),
                filled("gone", code=1),
                filled(),
                filled("waits", channel="rcs"),
                filled(channel="whatsapp", code=1),
                message(),
                filled(code="я" * 71),
            ]
        },
    )
    assert (bulk.status, bulk.json["accepted"], bulk.json["rejected"]) == (200, 3, 4)
    found = [result.get("status") or result["error"]["errorCode"] for result in bulk.json["results"]]
    assert found == [
        "accepted",
        "TEMPLATE_NOT_FOUND",
        "TEMPLATE_VARIABLE_MISSING",
        "TEMPLATE_NOT_APPROVED",
        "TEMPLATE_CHANNEL_MISMATCH",
        "accepted",
        "accepted",
    ]
    details = bulk.json["results"][2]["error"]["details"]
    assert details[0]["field"] == "content.template.variables.code"
    assert sorted(Message.objects.values_list("text", "parts")) == [
        ("Code 1", 1),
        ("Code " + "я" * 71, 2),
        ("Your code is 123456", 1),
    ]


def test_comes_from_the_defaults_of_a_bulk_call(acme):
    make(acme)
    defaults = {"content": {"template": {"name": "code", "variables": {"code": 7}}}}
    bulk = acme.post(f"{MESSAGES}/bulk", {"defaults": defaults, "messages": [{"to": "+14155550101"}]})
    assert bulk.json["accepted"] == 1
    assert Message.objects.get().text == "Code 7"


def queries(caller, asked) -> list[str]:
    """What one call asks of the templates' table."""
    with CaptureQueriesContext(
        connection,
    ) as captured:
        caller.post(f"{MESSAGES}/bulk", {"messages": asked})
    return [query["sql"] for query in captured if "gateway_template" in query["sql"]]


def test_costs_no_query_a_message(acme, monkeypatch):
    monkeypatch.setattr(templates, "_CACHED_SECONDS", 60)
    monkeypatch.setattr(templates, "_FRESH_SECONDS", 60)
    make(acme)
    assert len(queries(acme, [filled(code=number) for number in range(1000)])) == 1
    assert Message.objects.count() == 1000
    assert len(queries(acme, [filled("gone") for _ in range(1000)])) == 1


def test_is_validated_in_each_step_of_a_fallback(acme):
    make(acme, channels=["sms", "rcs"])
    steps = [
        {"channel": "sms", "content": {"template": {"name": "gone"}}},
        {"channel": "rcs", "content": {"template": {"name": "code", "variables": {"code": 1}}}},
    ]
    answer = acme.post(MESSAGES, message(fallback=steps[:1]))
    refused(answer, 422, "TEMPLATE_NOT_FOUND", "fallback[0].content.template")
    answer = acme.post(MESSAGES, message(fallback=steps[1:]))
    refused(answer, 422, "TEMPLATE_NOT_APPROVED", "fallback[0].content.template")
    answer = acme.post(MESSAGES, message(fallback=steps))
    fields = ("fallback[0].content.template", "fallback[1].content.template")
    refused(answer, 400, "VALIDATION_FAILED", *fields)
    templates.approve(template=Template.objects.get())
    steps[0] = {"channel": "sms", "content": {"template": {"name": "code", "variables": {}}}}
    answer = acme.post(MESSAGES, message(fallback=steps))
    refused(answer, 422, "TEMPLATE_VARIABLE_MISSING", "fallback[0].content.template.variables.code")
    assert acme.post(MESSAGES, message(fallback=steps[1:])).status == 200


_APPROVE = """
import django
django.setup()
from django.conf import settings
settings.DATABASES["default"]["NAME"] = {database!r}
from gateway import templates
from gateway.models import Template
templates.approve(template=Template.objects.get(pk={key!r}))
"""


@pytest.mark.django_db(transaction=True)
def test_can_be_sent_within_a_second_of_an_approval_elsewhere(acme):
    template = make(acme, channels=["sms", "rcs"])
    assert acme.post(MESSAGES, filled(code=1)).code == "TEMPLATE_NOT_APPROVED"
    program = _APPROVE.format(database=connection.settings_dict["NAME"], key=str(template.pk))
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, cwd=settings.BASE_DIR)
    assert acme.post(MESSAGES, filled(code=1)).status == 200


@pytest.mark.django_db(transaction=True)
def test_is_refused_within_a_second_of_a_rejection_elsewhere(acme):
    template = make(acme)
    assert acme.post(MESSAGES, filled(code=1)).status == 200
    # As another process does it: nothing here is told.
    Template.objects.filter(pk=template.pk).update(status="rejected")
    time.sleep(0.25)
    assert acme.post(MESSAGES, filled(code=1)).code == "TEMPLATE_NOT_APPROVED"
