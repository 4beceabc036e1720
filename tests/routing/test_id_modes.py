"""How ids in receipts relate to ids in answers: the rules, and how one is found out."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.models import Message
from gateway.statuses import Status
from routing import id_modes, matching, receipts
from routing.contract import Outcome, Receipt, ReceiptState, Verdict
from routing.id_modes import Knowledge
from routing.models import Operator, ParkedReceipt, Part
from tests.routing.conftest import status_of, timeline_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
numbers = st.integers(0, 2**128 - 1)
ids = st.text(st.sampled_from("0123456789abcdefxyz-"), min_size=1, max_size=45)
rules = st.sampled_from(id_modes.RULES)


@given(numbers)
def test_it_turns_one_base_into_the_other_and_back(number):
    assert id_modes.converted(f"{number:x}", "hex_to_decimal") == str(number)
    assert id_modes.converted(str(number), "decimal_to_hex") == f"{number:x}"


@given(ids, rules)
def test_it_converts_numbers_only(remote_id, rule):
    found = id_modes.converted(remote_id, rule)
    assert found is None or rule == "as_is" or int(found, 16) >= 0
    assert id_modes.forms((remote_id,), rule) == (found or remote_id,)


@pytest.mark.parametrize("remote_id", ["", "1_0", "+1", " 1", "-1", "\u0661", "0x1", "1" * 5000])
def test_it_takes_no_number_for_one_that_is_none(remote_id):
    assert id_modes.converted(remote_id, "hex_to_decimal") is None
    assert id_modes.converted(remote_id, "decimal_to_hex") is None


@pytest.mark.parametrize(
    ("remote_id", "found"),
    [
        ("smsc-1234", {"smsc-"}),
        ("smsc1234", {"smsc"}),
        ("node.a-7-1234", {"node.", "node.a-7-"}),
        ("#1234", {"#"}),
        ("1a2b3c", set()),
        ("abc123", set()),
        ("1715004", set()),
        ("smsc-12", set()),
        ("", set()),
    ],
)
def test_it_knows_what_may_be_a_prefix(remote_id, found):
    assert id_modes.prefixes(remote_id) == found


@given(ids, ids)
def test_it_cuts_and_puts_a_prefix(prefix, remote_id):
    answered = remote_id.lstrip("0")
    if answered:
        assert id_modes.converted(prefix + remote_id, f"cut:{prefix}") == answered
        assert id_modes.converted(answered, f"put:{prefix}") == prefix + answered
    assert id_modes.converted("~" + remote_id, f"cut:{prefix}") is None


@given(st.text(max_size=80))
def test_it_names_prefixes_of_what_it_is_given(remote_id):
    for prefix in id_modes.prefixes(remote_id):
        assert remote_id.startswith(prefix)
        assert len(prefix) <= 45


def test_it_counts_few_rules():
    known = Knowledge("auto")
    for number in range(100):
        known = known.heard(f"cut:{number}-", 1, at=NOW)
        assert len(known.counts) <= 8


@given(ids)
def test_it_knows_which_ids_tell_the_rules_apart(remote_id):
    found = {id_modes.converted(remote_id, rule) for rule in id_modes.RULES[1:]}
    assert id_modes.tells(remote_id) is (remote_id not in found)


@given(st.lists(st.tuples(rules, st.integers(1, 3)), max_size=12), st.sampled_from(["", *id_modes.RULES]))
def test_it_is_sure_of_one_rule_at_most_and_only_by_a_clear_majority(heard, seen):
    known = Knowledge("auto", seen)
    for rule, count in heard:
        known = known.heard(rule, count, at=NOW)
    total = sum(count for _rule, count in heard)
    if known.sure is None:
        assert all(count < id_modes.SURE or count * 6 <= total * 5 for count in known.counts.values())
    else:
        assert known.counts[known.sure] >= id_modes.SURE
        assert known.counts[known.sure] * 2 > total
    assert Knowledge.read("auto", seen, known.evidence) == (known if heard else Knowledge("auto", seen))


@pytest.fixture
def operator(make_operator):
    matching.forget()
    return make_operator("one", id_mode="auto")


@pytest.fixture
def sent(waiting, now):
    """Messages that an operator accepted under these ids."""

    def make(operator, *remote_ids, at=now):
        keys = waiting(operator, len(remote_ids))
        Message.objects.filter(pk__in=keys).update(status=Status.SENT)
        told = [
            Outcome(key, key, Verdict.ACCEPTED, at, (remote_id,))
            for key, remote_id in zip(keys, remote_ids, strict=True)
        ]
        receipts.expect(operator_id=operator.pk, outcomes=told)
        return keys

    return make


def arrive(operator, now, *remote_ids, state="delivered", other_ids=()):
    arrived = [
        Receipt(operator.pk, each, ReceiptState(state), now, other_ids=other_ids) for each in remote_ids
    ]
    return receipts.record(arrived=arrived, slugs={operator.pk: "one"}, now=now)


def look(operator, now, seconds=3.0):
    """Match everything again, so much later."""
    ParkedReceipt.objects.update(next_match_at=now)
    receipts.rematch(slugs={operator.pk: "one"}, now=now + timedelta(seconds=seconds))


def seen(operator):
    return Operator.objects.values_list("id_mode_seen", flat=True).get(pk=operator.pk)


def state_of(keys):
    return [status_of(key) for key in keys]


HEX = [f"{number:x}" for number in range(0x1A2B3C, 0x1A2B3C + 20)]
DECIMAL = [str(int(each, 16)) for each in HEX]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answered", "receipted"),
    [
        ("1a2b3c", "1715004"),
        ("1715004", "1a2b3c"),
        ("1715004", "smsc-01715004"),
        ("smsc-1715004", "1715004"),
        ("gw7-1a2b-3c4", "3c4"),
    ],
)
def test_it_delivers_a_single_message(operator, sent, now, answered, receipted):
    keys = sent(operator, answered)
    assert arrive(operator, now, receipted) == 0
    look(operator, now, 1.5)
    assert state_of(keys) == ["sent"]
    look(operator, now, 2.1)
    assert state_of(keys) == ["delivered"]
    assert not ParkedReceipt.objects.exists()
    assert seen(operator) == ""


@pytest.mark.django_db
def test_it_believes_all_that_was_said_of_the_first_message(operator, sent, now):
    keys = sent(operator, "1a2b3c")
    arrive(operator, now, "1715004", state="enroute")
    arrive(operator, now, "1715004")
    look(operator, now)
    assert sorted(timeline_of(keys[0])) == ["message.delivered", "receipt.interim"]
    assert not ParkedReceipt.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answered", "receipted", "rule"),
    [
        (HEX, DECIMAL, "decimal_to_hex"),
        (DECIMAL, HEX, "hex_to_decimal"),
        (HEX, HEX, "as_is"),
        (DECIMAL, [f"smsc-{each}" for each in DECIMAL], "cut:smsc-"),
        ([f"smsc-{each}" for each in HEX], HEX, "put:smsc-"),
    ],
)
def test_it_is_sure_after_five_and_then_matches_at_once(operator, sent, now, answered, receipted, rule):
    stamp = operator.updated_at
    keys = sent(operator, *answered)
    arrive(operator, now, *receipted[:4])
    look(operator, now)
    assert seen(operator) == ""
    arrive(operator, now, receipted[4])
    look(operator, now)
    assert state_of(keys[:6]) == ["delivered"] * 5 + ["sent"]
    assert seen(operator) == rule
    assert arrive(operator, now, *receipted[5:]) == 15
    assert state_of(keys) == ["delivered"] * 20
    row = Operator.objects.get(pk=operator.pk)
    assert (row.updated_at, row.id_evidence) == (stamp, {})


@pytest.mark.django_db
def test_it_asks_nothing_more_of_an_operator_that_it_knows(operator, sent, now, django_assert_num_queries):
    sent(operator, *HEX)
    arrive(operator, now, *HEX[:5])
    arrive(operator, now, HEX[5])
    with django_assert_num_queries(2) as asked:
        matching.match([Receipt(operator.pk, "1a2b42", ReceiptState.DELIVERED, now)] * 2, now=now)
        matching.match([Receipt(operator.pk, "1a2b42", ReceiptState.DELIVERED, now)], now=now)
    assert all("routing_part" in query["sql"] for query in asked.captured_queries)


@pytest.mark.django_db
def test_it_learns_of_an_other_workers_finding_within_two_seconds(operator, sent, now, monkeypatch):
    keys = sent(operator, *HEX)
    arrive(operator, now, "nothing")
    Operator.objects.update(id_mode_seen="decimal_to_hex")
    assert arrive(operator, now, DECIMAL[0]) == 0
    monkeypatch.setattr(matching._known, "stale_at", matching._known.stale_at - matching.FRESH_SECONDS)
    assert arrive(operator, now, DECIMAL[1]) == 1
    look(operator, now, 0.3)
    assert state_of(keys[:2]) == ["delivered"] * 2


@pytest.mark.django_db
def test_it_takes_no_stranger_for_what_overtook_its_answer(operator, sent, now):
    (stranger,) = sent(operator, "1a2b3c")
    arrive(operator, now, "1715004")
    look(operator, now, 1.9)
    (own,) = sent(operator, "1715004")
    look(operator, now, 3.0)
    assert state_of([stranger, own]) == ["sent", "delivered"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "at"), [({"state": "delivered"}, timedelta()), ({}, timedelta(days=-8))], ids=["ended", "old"]
)
def test_it_takes_no_part_that_cannot_be_meant(operator, sent, now, fields, at):
    keys = sent(operator, "1a2b3c", at=now + at)
    Part.objects.update(**fields)
    arrive(operator, now, "1715004")
    look(operator, now)
    assert state_of(keys) == ["sent"]
    assert ParkedReceipt.objects.count() == 1


@pytest.mark.django_db
def test_it_takes_neither_of_two_that_may_be_meant(operator, sent, now):
    keys = sent(operator, "123", str(0x123), f"{123:x}")
    Part.objects.filter(message_id=keys[0]).delete()
    arrive(operator, now, "123")
    look(operator, now)
    assert state_of(keys) == ["sent"] * 3


@pytest.mark.django_db
def test_it_is_not_led_astray_by_a_few_where_ids_match_as_they_are(operator, sent, now):
    keys = sent(operator, *HEX[:2])
    arrive(operator, now, HEX[0])
    arrive(operator, now, DECIMAL[1])
    for _ in range(3):
        look(operator, now)
    assert state_of(keys) == ["delivered", "sent"]
    assert Operator.objects.get(pk=operator.pk).id_evidence["counts"] == {"as_is": 1, "decimal_to_hex": 1}


@pytest.mark.django_db
def test_it_follows_an_operator_that_changes_its_ids(operator, sent, now):
    before = sent(operator, *HEX[:6])
    arrive(operator, now, *HEX[:6])
    assert (state_of(before), seen(operator)) == (["delivered"] * 6, "as_is")
    late = now + timedelta(minutes=5)
    after = sent(operator, *HEX[6:], at=late)
    for at, each in enumerate(DECIMAL[6:10]):
        arrive(operator, late + timedelta(minutes=at), each)
        look(operator, late + timedelta(minutes=at))
    assert (state_of(after[:4]), seen(operator)) == (["sent"] * 4, "as_is")
    last = late + timedelta(minutes=9)
    arrive(operator, last, *DECIMAL[10:])
    look(operator, last)
    assert seen(operator) == "decimal_to_hex"
    # Those that waited for it are called up at once.
    receipts.rematch(slugs={operator.pk: "one"}, now=last + timedelta(seconds=3))
    assert state_of(after) == ["delivered"] * 14


@pytest.mark.django_db
def test_it_stays_with_a_rule_that_works_whatever_strays_say(operator, sent, now):
    strays = sent(operator, *HEX[:10])
    mine = sent(operator, *(f"m-{number}" for number in range(8)), at=now + timedelta(minutes=1))
    arrive(operator, now, *(f"m-{number}" for number in range(6)))
    assert seen(operator) == "as_is"
    arrive(operator, now, *DECIMAL[:4])
    look(operator, now)
    last = now + timedelta(minutes=2)
    arrive(operator, last, "m-6", "m-7", *DECIMAL[4:10])
    look(operator, last)
    assert (seen(operator), state_of(strays), state_of(mine)) == (
        "as_is",
        ["sent"] * 10,
        ["delivered"] * 8,
    )
    assert Operator.objects.get(pk=operator.pk).id_evidence == {}


@pytest.mark.django_db
def test_it_shows_but_does_not_use_what_the_given_mode_is_not(operator, sent, now):
    Operator.objects.update(id_mode="hex_to_decimal")
    matching.forget()
    keys = sent(operator, *HEX[:8])
    arrive(operator, now, *HEX[:7])
    look(operator, now)
    look(operator, now, 4)
    assert (seen(operator), state_of(keys)) == ("as_is", ["sent"] * 8)
    parked = ParkedReceipt.objects.values_list("receipt__fits", flat=True)
    assert list(parked) == ["as_is"] * 7
    # A person who reads it and says auto has them all.
    Operator.objects.update(id_mode="auto")
    matching.forget()
    look(operator, now, 5)
    assert state_of(keys[:7]) == ["delivered"] * 7


@pytest.mark.django_db
def test_it_matches_by_the_given_mode_at_once(operator, sent, now):
    Operator.objects.update(id_mode="hex_to_decimal")
    matching.forget()
    keys = sent(operator, *DECIMAL[:6], "not-a-number")
    assert arrive(operator, now, *HEX[:6], "not-a-number") == 7
    assert (state_of(keys), seen(operator)) == (["delivered"] * 7, "hex_to_decimal")


@pytest.mark.django_db
@pytest.mark.parametrize(("first", "other"), [("1a2b3c", "1715004"), ("1715004", "1a2b3c"), ("x", "1715004")])
def test_it_tries_both_ids_of_a_receipt(operator, sent, now, first, other):
    keys = sent(operator, "1715004")
    assert arrive(operator, now, first, other_ids=(other,)) == 1
    assert state_of(keys) == ["delivered"]


@pytest.mark.django_db
def test_it_keeps_both_ids_while_the_receipt_is_parked(operator, sent, now):
    arrive(operator, now, "x", other_ids=("1715004",))
    keys = sent(operator, "1715004")
    look(operator, now, 0.3)
    assert state_of(keys) == ["delivered"]


@pytest.mark.django_db
def test_it_calls_up_what_overtook_its_answer_by_the_answers_id(operator, sent, now):
    Operator.objects.update(id_mode="decimal_to_hex")
    matching.forget()
    arrive(operator, now, "1715004")
    ParkedReceipt.objects.update(next_match_at=now + timedelta(minutes=5))
    sent(operator, "1a2b3c")
    assert ParkedReceipt.objects.get().next_match_at < now + timedelta(minutes=1)


@pytest.mark.django_db
def test_it_keeps_operators_apart(operator, make_operator, sent, now):
    other = make_operator("two", id_mode="auto")
    keys = sent(other, *HEX)
    arrive(operator, now, *DECIMAL)
    look(operator, now)
    assert (seen(operator), seen(other), state_of(keys)) == ("", "", ["sent"] * 20)


@pytest.mark.django_db
def test_it_reads_what_an_older_release_parked(operator, sent, now):
    arrive(operator, now, "1a2b3c")
    row = ParkedReceipt.objects.get()
    row.receipt.pop("ids")
    row.save()
    keys = sent(operator, "1a2b3c")
    look(operator, now)
    assert state_of(keys) == ["delivered"]


@pytest.mark.django_db(transaction=True)
def test_it_learns_from_several_workers_at_once(make_operator, sent, now, together):
    matching.forget()
    operators = [make_operator(slug, id_mode="auto") for slug in ("one", "two")]
    keys = [key for operator in operators for key in sent(operator, *HEX)]

    def worker(number: int) -> None:
        for each in DECIMAL[number * 5 : number * 5 + 5]:
            arrived = [Receipt(operator.pk, each, ReceiptState.DELIVERED, now) for operator in operators]
            receipts.record(arrived=arrived if number % 2 else arrived[::-1], slugs={}, now=now)
            receipts.rematch(slugs={}, now=now + timedelta(seconds=30))

    together(worker, 4)
    for seconds in (60, 120):
        receipts.rematch(slugs={}, now=now + timedelta(seconds=seconds))
    assert [seen(operator) for operator in operators] == ["decimal_to_hex"] * 2
    assert state_of(keys) == ["delivered"] * 40
