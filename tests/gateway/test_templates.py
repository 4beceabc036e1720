"""Templates: made, changed, decided about, removed."""

import json

import pytest

from gateway import templates
from gateway.errors import TemplateExists
from gateway.models import Template
from gateway.models.tenant import sandbox_of
from tests.factories import Caller, make_tenant

SHIPPED = {
    "name": "order_shipped",
    "language": "pt-BR",
    "channels": ["sms"],
    "body": "Olá {{name}}, {{ order }} está a caminho, {{name}}. {{1}}",
    "category": "marketing",
}
PATH = "/v1/templates"


@pytest.fixture(autouse=True)
def _forget():
    templates.forget()


def make(caller, **members) -> str:
    made = caller.post(PATH, SHIPPED | members)
    assert made.status == 201, made.content
    return f"{PATH}/{made.json['id']}"


def change(caller, path, **members):
    return caller.send("PATCH", path, json.dumps(members).encode())


def decided(path, *, approve=True) -> None:
    template = Template.objects.get(pk=path.rpartition("/")[2])
    if approve:
        templates.approve(template=template)
    else:
        templates.reject(template=template, reason="No opt-out notice.")


def test_comes_back_as_it_was_given(acme):
    made = acme.post(f"{PATH}/", SHIPPED)
    assert made.status == 201
    assert made.json.items() >= SHIPPED.items()
    assert made.json["variables"] == ["name", "order", "1"]
    assert (made.json["status"], made.json["reason"]) == ("approved", None)
    assert made.json["createdAt"].endswith("Z")
    read = acme.get(f"{PATH}/{made.json['id']}/")
    assert read.status == 200
    assert read.json | {"requestId": ""} == made.json | {"requestId": ""}
    assert read.headers["X-Request-Id"] == read.json["requestId"]


@pytest.mark.parametrize("nothing", [{}, {"language": None, "channels": None, "category": None}])
def test_is_english_sms_and_utility_unless_said(acme, nothing):
    made = acme.post(PATH, {"name": "a", "body": "b"} | nothing).json
    assert (made["language"], made["channels"], made["category"]) == ("en", ["sms"], "utility")
    assert made["variables"] == []


@pytest.mark.parametrize(
    ("channels", "status"),
    [
        (["sms"], "approved"),
        (["sms", "sms"], "approved"),
        (["whatsapp"], "pending"),
        (["rcs"], "pending"),
        (["sms", "rcs"], "pending"),
        (["sms", "whatsapp", "rcs"], "pending"),
    ],
)
def test_is_approved_at_once_for_sms_alone(acme, channels, status):
    made = acme.post(PATH, SHIPPED | {"channels": channels}).json
    assert (made["status"], made["channels"]) == (status, list(dict.fromkeys(channels)))


def test_is_decided_about_and_says_why(acme):
    path = make(acme, channels=["whatsapp"])
    decided(path, approve=False)
    read = acme.get(path).json
    assert (read["status"], read["reason"]) == ("rejected", "No opt-out notice.")
    decided(path)
    read = acme.get(path).json
    assert (read["status"], read["reason"]) == ("approved", None)
    assert read["updatedAt"] > read["createdAt"]


@pytest.mark.parametrize(
    "members", [{"body": "Other {{name}}"}, {"channels": ["sms", "rcs"]}, {"category": "other"}]
)
@pytest.mark.parametrize("approve", [True, False])
def test_is_decided_about_anew_when_it_is_another(acme, members, approve):
    path = make(acme, channels=["rcs"])
    decided(path, approve=approve)
    changed = change(acme, path, **members)
    assert changed.status == 200
    assert changed.json.items() >= {"status": "pending", "reason": None, **members}.items()


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"name": "other"},
        {"language": "fr"},
        {"body": SHIPPED["body"]},
        {"channels": ["whatsapp", "rcs"]},
        {"body": None, "channels": None, "category": None, "name": None, "language": None},
    ],
)
def test_keeps_what_was_decided_when_it_says_the_same(acme, members):
    path = make(acme, channels=["rcs", "whatsapp"])
    decided(path, approve=False)
    changed = change(acme, path, **members)
    assert (changed.status, changed.json["status"]) == (200, "rejected")
    assert changed.json["body"] == SHIPPED["body"]


def test_is_approved_when_it_becomes_one_for_sms_alone(acme):
    path = make(acme, channels=["rcs"])
    assert change(acme, path, channels=["sms"]).json["status"] == "approved"
    assert change(acme, path, channels=["rcs"]).json["status"] == "pending"


def test_is_removed(acme):
    path = make(acme)
    assert acme.send("DELETE", path).status == 204
    assert acme.get(path).status == acme.send("DELETE", path).status == change(acme, path).status == 404
    assert acme.post(PATH, SHIPPED).status == 201


def test_is_one_a_name_and_language(acme, other):
    path = make(acme)
    again = acme.post(PATH, SHIPPED | {"body": "x"})
    assert (again.status, again.code) == (409, "TEMPLATE_ALREADY_EXISTS")
    make(acme, language="en")
    make(other)
    taken = change(acme, path, language="en", body="half done")
    assert (taken.status, taken.code) == (409, "TEMPLATE_ALREADY_EXISTS")
    assert acme.get(path).json["body"] == SHIPPED["body"]
    assert change(acme, path, language="pt-BR").status == 200


@pytest.mark.django_db(transaction=True)
def test_is_made_once_when_it_is_asked_for_at_one_instant(together):
    tenant = make_tenant("racing")
    values = SHIPPED | {"name": "raced"}

    def make_one(_number):
        try:
            return templates.create(tenant_id=tenant.pk, values=values).pk
        except TemplateExists:
            return None

    made = together(make_one, 8)
    assert sum(key is not None for key in made) == 1
    assert Template.objects.for_tenant(tenant.pk).count() == 1


@pytest.mark.django_db(transaction=True)
def test_loses_no_change_when_two_come_at_one_instant(together):
    caller = Caller(make_tenant("changing"))
    path = make(caller, channels=["rcs"])
    key = Template.objects.get().pk
    members = [{"body": "Other"}, {"category": "other"}, {"name": "other"}, {"language": "fr"}]
    together(
        lambda number: templates.change(tenant_id=caller.tenant.pk, template_id=key, changes=members[number]),
        len(members),
    )
    for member in members:
        assert caller.get(path).json.items() >= member.items()


NAMES = ["", " ", "a b", "ä", "a" * 101, "a\n", "a/b", "\uff21", 5, [], {}, True]
LANGUAGES = [
    "",
    "e",
    "english",
    "en-",
    "en--GB",
    "en US",
    "e1",
    "en-ß",
    "en\n",
    "en-" + "a" * 9,
    "e" * 36,
    5,
    [],
]
CHANNELS = [[], ["fax"], ["SMS"], "sms", [None], [1], ["sms", "fax"], [["sms"]], {}, ["sms"] * 4]
BODIES = [
    "",
    "x" * 4097,
    "{{}}",
    "{{ }}",
    "{{name",
    "name}}",
    "{{a b}}",
    "{{0}}",
    "{{1000}}",
    "{{a-b}}",
    "{{ä}}",
    "{{a}}}}",
    "{{{{a}}}}",
    "{{\na}}",
    "{{" + "a" * 65 + "}}",
    "{{a.__class__}}",
    5,
    [],
    {},
]
CATEGORIES = ["", "MARKETING", "spam", 5, []]
WRONG = [
    (name, value)
    for name, values in (
        ("name", NAMES),
        ("language", LANGUAGES),
        ("channels", CHANNELS),
        ("body", BODIES),
        ("category", CATEGORIES),
    )
    for value in values
]


def test_names_the_member_that_is_wrong(acme):
    path = make(acme)
    for name, value in WRONG:
        for answer in (
            acme.post(PATH, SHIPPED | {"name": "new", name: value}),
            change(acme, path, **{name: value}),
        ):
            assert (answer.status, answer.code) == (400, "VALIDATION_FAILED"), (name, value)
            assert answer.json["details"][0]["field"].partition("[")[0] == name, (name, value)
            assert name in answer.json["message"]
    assert Template.objects.count() == 1


def test_names_all_that_is_wrong(acme):
    answer = acme.post(PATH, {"language": 5, "channels": [], "status": "approved"})
    assert {detail["field"] for detail in answer.json["details"]} == {
        "name",
        "language",
        "channels",
        "body",
        "status",
    }


@pytest.mark.parametrize(
    ("body", "variables"),
    [
        ("{ } {a} }{", []),
        ("{{a}}{{b}}{{a}}", ["a", "b"]),
        ("{{2}} {{1}} {{999}}", ["2", "1", "999"]),
        ("{{  _a1  }}", ["_a1"]),
        ("{{{a}}}", ["a"]),
        ("\u202e😀 {{a}} é\r\n\t", ["a"]),
        ("%s {0} ${x} \\1 {{a}}", ["a"]),
        ("x" * 4096, []),
        ("{{" + "a" * 64 + "}}", ["a" * 64]),
    ],
)
def test_takes_a_body(acme, body, variables):
    made = acme.post(PATH, SHIPPED | {"body": body})
    assert (made.status, made.json["body"], made.json["variables"]) == (201, body, variables)


@pytest.mark.parametrize("language", ["en", "fil", "en-GB", "pt_BR", "zh-Hant-TW", "EN-us", "de-1996"])
def test_takes_a_language(acme, language):
    assert acme.post(PATH, SHIPPED | {"language": language}).json["language"] == language


@pytest.mark.parametrize(
    "body", [b'{"name": "a", "body": "\\u0000"}', b'{"name": "a", "body": "\\ud800"}', b"[]", b""]
)
def test_refuses_what_cannot_be_kept(acme, body):
    refused = acme.send("POST", PATH, body)
    assert (refused.status, refused.code) == (400, "MALFORMED_BODY")


@pytest.mark.parametrize("key", ["nothing", "0", "%00", "01a1fc32-8652-7601-b91c-44e32841fd73"])
def test_is_not_found_when_there_is_none(acme, key):
    for method in ("GET", "PATCH", "DELETE"):
        answer = acme.send(method, f"{PATH}/{key}", b"{}")
        assert (answer.status, answer.code) == (404, "NOT_FOUND")


def test_is_unknown_to_another_tenant(acme, other):
    path = make(acme)
    for method in ("GET", "PATCH", "DELETE"):
        assert other.send(method, path, b'{"body": "theirs"}').status == 404
    assert other.get(PATH).json["data"] == []
    assert acme.get(path).json["body"] == SHIPPED["body"]


def test_is_unknown_on_the_other_side_of_the_sandbox(acme):
    path = make(acme)
    assert acme.get(path, x_developer_mode="true").status == 404
    assert acme.get(PATH, x_developer_mode="true").json["data"] == []
    made = acme.post(PATH, SHIPPED, x_developer_mode="true")
    assert made.status == 201
    assert acme.get(f"{PATH}/{made.json['id']}").status == 404
    assert Template.objects.for_tenant(sandbox_of(acme.tenant.pk)).count() == 1


def test_needs_the_permission(acme):
    path = make(acme)
    reader = Caller(acme.tenant, name="sends", permissions=["messages:send"])
    for method, where in (("GET", PATH), ("POST", PATH), ("GET", path), ("PATCH", path), ("DELETE", path)):
        refused = reader.send(method, where, b"{}")
        assert (refused.status, refused.code) == (403, "PERMISSION_DENIED")
    allowed = Caller(acme.tenant, name="manages", permissions=["templates:manage"])
    assert allowed.get(path).status == 200


def test_is_found_by_filters(acme, other):
    make(acme, language="en")
    make(acme, language="fr", channels=["rcs"])
    make(acme, name="code", channels=["sms", "rcs"])
    make(other, name="theirs")
    for query, count in {
        "": 3,
        "name=order_shipped": 2,
        "name=order_shipped&language=fr": 1,
        "name=Order_shipped": 0,
        "language=en": 1,
        "channel=sms": 2,
        "channel=rcs": 2,
        "channel=whatsapp": 0,
        "status=pending": 2,
        "status=approved": 1,
        "status=rejected": 0,
        "channel=sms&status=pending": 1,
        "name=theirs": 0,
    }.items():
        assert len(acme.get(f"{PATH}/?{query}").json["data"]) == count, query


@pytest.mark.parametrize(
    "query", ["status=x", "channel=fax", "name=%00", "limit=0", "cursor=x", "body=x", "name=a&name=b"]
)
def test_refuses_a_query_it_does_not_understand(acme, query):
    answer = acme.get(f"{PATH}?{query}")
    assert (answer.status, answer.code) == (400, "VALIDATION_FAILED")
    assert answer.json["details"][0]["field"] == query.partition("=")[0]


def test_lists_page_by_page_while_others_are_made(acme):
    made = [make(acme, name=f"n{number}").rpartition("/")[2] for number in range(5)]
    seen, cursor = [], ""
    while True:
        page = acme.get(f"{PATH}?limit=2{cursor}").json
        seen += [row["id"] for row in page["data"]]
        if page["nextCursor"] is None:
            break
        make(acme, name=f"later{len(seen)}")
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == made[::-1]


def test_is_listed_by_one_query(acme, django_assert_num_queries):
    for number in range(5):
        make(acme, name=f"n{number}")
    acme.get(PATH)
    with django_assert_num_queries(1):
        assert len(acme.get(PATH).json["data"]) == 5
