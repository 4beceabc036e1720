"""A tenant's keywords: its own and those that everybody has."""

import re
import unicodedata

import pytest

from gateway import consent_words, keywords, text
from gateway.api.keywords import WORD
from gateway.models import Keyword

pytestmark = pytest.mark.django_db

PATH = "/v1/keywords"
JOIN = {"keyword": "Join", "action": "reply", "replyText": "Welcome!"}
WORDS = list(consent_words.BUILT_IN)


def built_in(caller, word: str) -> dict:
    return next(rule for rule in caller.get(PATH).json["data"] if rule["keyword"] == word)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Stop", "STOP"),
        (" stop. ", "STOP"),
        ("«STOP!»", "STOP"),
        ("\uff53\uff54\uff4f\uff50", "STOP"),
        ("stop \t all", "STOP ALL"),
        ("straße", "STRASSE"),
        ("?!", "?!"),
        ("👍", "👍"),
        ("#win", "WIN"),
        ("stop\u00b4", "STOP"),
        ("`stop\u00b8", "STOP"),
        ("\ufeffstop\u200b", "STOP"),
        ("stop\ufffd", "STOP"),
        ("j\u00b4arrête", "J'ARRÊTE"),
        ("\u00b4", "'"),
        ("", ""),
        ("\ud800", "\ud800"),
    ],
)
def test_it_compares_words_in_one_form(text, word):
    assert keywords.canonical(text) == word


def test_it_lists_the_built_in_ones_to_everybody(acme, other):
    listed = acme.get(PATH)
    assert [rule["keyword"] for rule in listed.json["data"]] == WORDS
    assert {rule["builtIn"] for rule in listed.json["data"]} == {True}
    assert {rule["match"] for rule in listed.json["data"]} == {"exact"}
    assert built_in(acme, "STOP")["action"] == "optOut"
    assert built_in(acme, "YES")["action"] == "optIn"
    assert built_in(acme, "INFO")["action"] == "help"
    assert "START" in built_in(acme, "STOP")["replyText"]
    assert built_in(acme, "STOP")["id"] == built_in(acme, "STOP")["id"] != built_in(other, "STOP")["id"]
    assert acme.get(f"{PATH}/{built_in(acme, 'STOP')['id']}").json["keyword"] == "STOP"
    assert not Keyword.objects.exists()


def test_it_makes_one_in_capitals(acme, other):
    made = acme.post(PATH, JOIN)
    assert made.status == 201
    resource = {name: value for name, value in made.json.items() if name != "requestId"}
    assert resource == {
        "id": resource["id"],
        "keyword": "JOIN",
        "match": "exact",
        "action": "reply",
        "replyText": "Welcome!",
        "callbackUrl": None,
        "builtIn": False,
        "createdAt": resource["createdAt"],
        "updatedAt": resource["updatedAt"],
    }
    assert acme.get(f"{PATH}/{resource['id']}/").json["id"] == resource["id"]
    assert acme.get(PATH + "/").json["data"][0] == resource
    assert other.get(f"{PATH}/{resource['id']}").status == 404
    assert len(other.get(PATH).json["data"]) == len(WORDS)


@pytest.mark.parametrize("word", ["JOIN", "join", "\uff2a\uff2f\uff29\uff2e", "join!"])
def test_it_has_one_rule_a_word(acme, word):
    acme.post(PATH, JOIN)
    again = acme.post(PATH, JOIN | {"keyword": word})
    assert (again.status, again.code) == (409, "KEYWORD_ALREADY_EXISTS")


@pytest.mark.parametrize("word", ["STOP", "stop", "Help."])
def test_it_makes_none_of_a_built_in_word(acme, word):
    refused = acme.post(PATH, JOIN | {"keyword": word})
    assert (refused.status, refused.code) == (409, "KEYWORD_ALREADY_EXISTS")
    assert "PATCH" in refused.json["message"]
    made = acme.post(PATH, JOIN).json["id"]
    changed = acme.send("PATCH", f"{PATH}/{made}", b'{"keyword": "quit"}')
    assert (changed.status, changed.code) == (409, "KEYWORD_ALREADY_EXISTS")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"keyword": None}, "keyword"),
        ({"keyword": ""}, "keyword"),
        ({"keyword": " "}, "keyword"),
        ({"keyword": "a\tb"}, "keyword"),
        ({"keyword": "a  b"}, "keyword"),
        ({"keyword": "x" * 101}, "keyword"),
        ({"keyword": "ﷺ" * 20}, "keyword"),
        ({"keyword": 7}, "keyword"),
        ({"keyword": "a b", "match": "firstWord"}, "keyword"),
        ({"match": "prefix"}, "match"),
        ({"action": None}, "action"),
        ({"action": "delete"}, "action"),
        ({"replyText": None}, "replyText"),
        ({"replyText": ""}, "replyText"),
        ({"replyText": "x" * 1601}, "replyText"),
        ({"action": "forward"}, "callbackUrl"),
        ({"callbackUrl": "ftp://example.com"}, "callbackUrl"),
        ({"builtIn": True}, "builtIn"),
    ],
)
def test_it_names_what_is_wrong(acme, change, field):
    refused = acme.post(PATH, JOIN | change)
    assert refused.status == 400, refused.json
    assert [detail["field"] for detail in refused.json["details"]] == [field]
    assert not Keyword.objects.exists()


def test_it_refuses_what_cannot_be_stored(acme):
    for body in (b'{"keyword": "a\\u0000", "action": "help"}', b'{"keyword": "\\ud800", "action": "help"}'):
        assert acme.send("POST", PATH, body).status == 400


def test_it_changes_what_is_given_and_keeps_the_rest(acme, other):
    made = acme.post(PATH, JOIN).json
    path = f"{PATH}/{made['id']}"
    assert other.send("PATCH", path, b'{"keyword": "x"}').status == 404
    changed = acme.send("PATCH", path, b'{"keyword": "sign up", "callbackUrl": "https://example.com/x"}').json
    assert changed.get("keyword") == "SIGN UP", changed
    assert (changed["callbackUrl"], changed["replyText"]) == ("https://example.com/x", "Welcome!")
    assert acme.send("PATCH", path, b"{}").json["keyword"] == "SIGN UP"
    for body in (b'{"match": "firstWord"}', b'{"replyText": null}'):
        refused = acme.send("PATCH", path, body)
        assert refused.status == 422, refused.json
    assert acme.send("PATCH", path, b'{"action": null}').status == 400
    assert acme.get(path).json["replyText"] == "Welcome!"


def test_it_changes_no_word_into_one_that_is_there(acme):
    acme.post(PATH, JOIN)
    second = acme.post(PATH, JOIN | {"keyword": "leave"}).json["id"]
    assert acme.send("PATCH", f"{PATH}/{second}", b'{"keyword": "join"}').code == "KEYWORD_ALREADY_EXISTS"


def test_it_changes_the_reply_of_a_built_in_one_and_nothing_else(acme, other):
    stop = built_in(acme, "STOP")
    path = f"{PATH}/{stop['id']}"
    changed = acme.send("PATCH", path, b'{"replyText": "Bye", "action": "optOut"}')
    assert (changed.status, changed.json["replyText"], changed.json["builtIn"]) == (200, "Bye", True)
    assert changed.json["id"] == stop["id"]
    assert built_in(acme, "STOP")["replyText"] == "Bye"
    assert [rule["keyword"] for rule in acme.get(PATH).json["data"]] == WORDS
    for body in (b'{"action": "help"}', b'{"keyword": "x"}', b'{"match": "firstWord"}'):
        refused = acme.send("PATCH", path, body)
        assert (refused.status, refused.code) == (409, "KEYWORD_BUILT_IN")
    assert acme.send("DELETE", path).code == "KEYWORD_BUILT_IN"
    assert acme.send("PATCH", path, b'{"replyText": null}').json["replyText"] == stop["replyText"]
    assert other.send("PATCH", path, b'{"replyText": "Theirs"}').status == 404
    assert built_in(other, "STOP")["replyText"] == stop["replyText"]


def test_it_refuses_a_change_of_an_untouched_built_in_one_without_a_trace(acme):
    path = f"{PATH}/{built_in(acme, 'HELP')['id']}"
    assert acme.send("PATCH", path, b'{"match": "firstWord"}').code == "KEYWORD_BUILT_IN"
    assert acme.send("DELETE", path).code == "KEYWORD_BUILT_IN"
    assert not Keyword.objects.exists()


def test_it_removes_its_own(acme, other):
    path = f"{PATH}/{acme.post(PATH, JOIN).json['id']}"
    assert other.send("DELETE", path).status == 404
    assert acme.send("DELETE", path).status == 204
    assert acme.send("DELETE", path).status == 404
    assert acme.get(f"{PATH}/nothing").status == 404


def test_it_pages_over_its_own_and_the_built_in_ones(acme):
    for number in range(3):
        acme.post(PATH, JOIN | {"keyword": f"word{number}"})
    acme.send("PATCH", f"{PATH}/{built_in(acme, 'END')['id']}", b'{"replyText": "Bye"}')
    for limit in (1, 2, 3, 4, 14, 100):
        found, cursor = [], ""
        while cursor is not None:
            page = acme.get(f"{PATH}?limit={limit}{cursor and '&cursor=' + cursor}").json
            assert len(page["data"]) <= limit
            found += [rule["keyword"] for rule in page["data"]]
            cursor = page["nextCursor"]
        assert found == ["WORD2", "WORD1", "WORD0", *WORDS]


def test_it_asks_for_the_right_permissions(acme):
    from tests.factories import Caller

    reader = Caller(acme.tenant, name="reader", permissions=["inbound:read"])
    writer = Caller(acme.tenant, name="writer", permissions=["contacts:manage"])
    assert (reader.get(PATH).status, reader.post(PATH, JOIN).status) == (200, 403)
    assert (writer.get(PATH).status, writer.post(PATH, JOIN).status) == (403, 201)


def test_it_matches_the_whole_text_before_the_first_word(acme, other):
    for body in (
        {"keyword": "win", "match": "firstWord", "action": "help"},
        {"keyword": "win now", "action": "optIn"},
        {"keyword": "only", "action": "optIn"},
    ):
        assert acme.post(PATH, body).status == 201
    texts = [
        "win",
        "Win, please",
        "WIN NOW!",
        "winner",
        "only",
        "only this",
        "Stop!",
        "stop it",
        "",
        "x" * 5000,
    ]
    found = keywords.match(tenant_id=acme.tenant.pk, texts=texts)
    assert [rule and rule.keyword for rule in found] == [
        "WIN",
        "WIN",
        "WIN NOW",
        None,
        "ONLY",
        None,
        "STOP",
        None,
        None,
        None,
    ]
    theirs = keywords.match(tenant_id=other.tenant.pk, texts=["win", "stop"])
    assert [rule and rule.keyword for rule in theirs] == [None, "STOP"]


@pytest.mark.django_db(transaction=True)
def test_it_is_made_once_by_two_at_the_same_moment(acme, together):
    answers = together(lambda _number: acme.post(PATH, JOIN).status, 4)
    assert sorted(answers) == [201, 409, 409, 409]
    path = f"{PATH}/{built_in(acme, 'STOP')['id']}"
    answers = together(lambda _number: acme.send("PATCH", path, b'{"replyText": "Bye"}').status, 4)
    assert answers == [200] * 4


def test_it_makes_one_word_of_one_word_whatever_is_in_it():
    letters = re.compile(WORD)
    characters = [chr(code) for code in range(0x1_0000) if " " in unicodedata.normalize("NFKC", chr(code))]
    for character in filter(letters.fullmatch, characters):
        word = keywords.canonical(f"a{character}b")
        assert " " not in word, ascii(character)
        assert keywords.canonical(word) == word, ascii(character)


def test_it_makes_one_of_what_is_typed_for_an_apostrophe(acme):
    for word, kept in (
        ("j\u00b4aime", "J'AIME"),
        ("fac\u00b8ade", "FAC'ADE"),
        ("\ufdfb", "\u062c\u0644\u062c\u0644\u0627\u0644\u0647"),
    ):
        made = acme.post(PATH, JOIN | {"keyword": word, "match": "firstWord"})
        assert (made.status, made.json.get("keyword")) == (201, kept)
    (found,) = keywords.match(tenant_id=acme.tenant.pk, texts=["J'aime ça"])
    assert found is not None
    assert found.keyword == "J'AIME"


def test_it_has_the_contracts_words_first():
    contract = [
        "STOP",
        "STOPALL",
        "UNSUBSCRIBE",
        "CANCEL",
        "END",
        "QUIT",
        "START",
        "UNSTOP",
        "YES",
        "HELP",
        "INFO",
    ]
    assert WORDS[:11] == contract


@pytest.mark.parametrize("word", WORDS)
def test_it_can_reach_every_built_in_word_and_reply_in_one_part(word):
    assert keywords.canonical(word) == keywords.built_in_word(word) == word
    assert text.analyse(consent_words.REPLIES[word]) == ("GSM-7", 1)


@pytest.mark.parametrize(
    ("written", "word", "action"),
    [
        ("Arrêt", "ARRET", "optOut"),
        ("arre\u0302t.", "ARRET", "optOut"),
        ("Stop all", "STOPALL", "optOut"),
        ("opt-out", "OPTOUT", "optOut"),
        ("désabonner!", "DESABONNER", "optOut"),
        ("démarrer", "DEMARRER", "optIn"),
        ("aide ?", "AIDE", "help"),
        ("¡Baja!", "BAJA", "optOut"),
        ("Sí", "SI", "optIn"),
        ("ayuda", "AYUDA", "help"),
        ("kündigen", "KUNDIGEN", "optOut"),
        ("ja", "JA", "optIn"),
        ("Hilfe", "HILFE", "help"),
        ("sair", "SAIR", "optOut"),
        ("Começar", "COMECAR", "optIn"),
        ("ajuda", "AJUDA", "help"),
    ],
)
def test_it_knows_consent_in_five_languages(acme, written, word, action):
    (found,) = keywords.match(tenant_id=acme.tenant.pk, texts=[written])
    assert found is not None
    assert (found.keyword, found.action, found.reply_text) == (word, action, consent_words.REPLIES[word])


def test_it_replies_to_every_spelling_in_the_tenants_words(acme):
    acme.send("PATCH", f"{PATH}/{built_in(acme, 'ARRET')['id']}", b'{"replyText": "Au revoir"}')
    found = keywords.match(tenant_id=acme.tenant.pk, texts=["arrêt", "ARRET", "arrêt de bus"])
    assert [rule and rule.reply_text for rule in found] == ["Au revoir", "Au revoir", None]


def test_it_keeps_no_other_spelling_of_a_built_in_word(acme):
    assert acme.post(PATH, JOIN | {"keyword": "arrêt"}).code == "KEYWORD_ALREADY_EXISTS"
    assert acme.post(PATH, JOIN | {"keyword": "stop all"}).code == "KEYWORD_ALREADY_EXISTS"
    made = acme.post(PATH, JOIN).json["id"]
    assert acme.send("PATCH", f"{PATH}/{made}", '{"keyword": "Sí"}'.encode()).code == "KEYWORD_ALREADY_EXISTS"
