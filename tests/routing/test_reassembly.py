"""Handsets' long messages made whole of their pieces."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from gateway import numbers_owned
from gateway.models import InboundMessage
from routing import arrivals, reassembly
from routing.contract import Inbound
from routing.models import InboundPart

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _forgotten():
    numbers_owned.forget()


def piece(number: int, text: str = "", *, total: int = 3, reference: int = 7, **fields) -> Inbound:
    given = {
        "operator_id": 1,
        "sender": "14155550101",
        "recipient": "4242",
        "text": text or f"<{number}>",
        "occurred_at": NOW,
        "raw": {"n": number},
        "part": (reference, total, number),
    }
    return Inbound(**given | fields)


def collect(*pieces: Inbound, now: datetime = NOW) -> list[str]:
    return [whole.text for whole in reassembly.collect(pieces=pieces, now=now)]


def waiting() -> int:
    return InboundPart.objects.filter(total__gt=0).count()


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_it_joins_pieces_in_any_order_one_by_one_and_together(order):
    texts = [collect(piece(number)) for number in order]
    assert texts == [[], [], ["<1><2><3>"]]
    assert collect(*(piece(number, reference=8) for number in order)) == ["<1><2><3>"]
    assert not waiting()


def test_it_joins_what_belongs_together(db):
    pieces = [
        piece(number, **fields)
        for fields in (
            {"reference": 1},
            {"reference": 2},
            {"sender": "14155550102"},
            {"recipient": "4243"},
            {"operator_id": 2},
            {"total": 2},
        )
        for number in (1, 2)
    ]
    assert collect(*pieces) == ["<1><2>"]
    assert waiting() == 10
    assert collect(piece(3, reference=2), piece(3, operator_id=2)) == ["<1><2><3>"] * 2


def test_it_takes_a_piece_once(db):
    assert collect(piece(1), piece(1), piece(2)) == []
    assert collect(piece(2)) == []
    assert collect(piece(3)) == ["<1><2><3>"]
    # The operator has missed the answers.
    assert collect(piece(3), piece(1)) == []
    assert not waiting()


def test_it_takes_a_reference_again(db):
    assert collect(*(piece(number) for number in (1, 2, 3))) == ["<1><2><3>"]
    assert collect(*(piece(number, f"[{number}]") for number in (1, 2, 3))) == ["[1][2][3]"]


def test_it_gives_up_a_set_whose_reference_is_used_for_another_message(db):
    assert collect(piece(1), piece(3)) == []
    assert collect(piece(1), piece(3)) == []
    assert collect(piece(3, "[3]")) == ["<1>[…]<3>"]
    assert collect(piece(1, "[1]"), piece(2, "[2]")) == ["[1][2][3]"]
    assert not waiting()


def test_it_takes_a_reference_again_in_one_batch(db):
    first = [piece(number) for number in (1, 2, 3)]
    second = [piece(number, f"[{number}]") for number in (2, 3, 1)]
    assert collect(*first, *second, *first) == ["<1><2><3>", "[1][2][3]"]
    assert collect(piece(1), piece(1, "[1]"), piece(2, "[2]"), piece(2)) == []
    assert not waiting()


def test_it_tells_sets_of_one_reference_and_several_totals_apart(db):
    pieces = [piece(1, total=2), piece(1, total=3), piece(2, total=3), piece(2, "end", total=2)]
    assert collect(*pieces) == ["<1>end"]
    assert collect(piece(3)) == ["<1><2><3>"]


@pytest.mark.parametrize("total", [2, 255])
def test_it_joins_as_many_as_there_may_be(db, total):
    pieces = [piece(number, total=total, reference=0xFFFF) for number in range(total, 0, -1)]
    assert collect(*pieces[:-1]) == []
    assert collect(pieces[-1]) == ["".join(f"<{number}>" for number in range(1, total + 1))]


def test_it_keeps_what_came_with_the_pieces(db):
    (whole,) = reassembly.collect(pieces=[piece(3), piece(1), piece(2)], now=NOW)
    assert whole.raw == {"parts": [{"n": 1}, {"n": 2}, {"n": 3}]}
    assert (whole.operator_id, whole.sender, whole.recipient) == (1, "14155550101", "4242")
    assert (whole.occurred_at, whole.part) == (NOW, None)


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (("a\ud83d", "\ude00b"), "a\U0001f600b"),
        (("a\ud83d", "b"), "a\ufffdb"),
        (('"\\u0041', "{}\n"), '"\\u0041{}\n'),
        (("\0", "é"), "\0é"),
    ],
)
def test_it_joins_whatever_is_written(texts, whole):
    assert collect(piece(2, texts[1], total=2)) == []
    assert collect(piece(1, texts[0], total=2)) == [whole]


@pytest.mark.parametrize("part", [None, (7, 1, 1), (7, 3, 4), (7, 3, 0), (7, 0, 0)])
def test_it_knows_what_is_no_piece(part):
    assert not reassembly.is_piece(piece(1, part=part))


@pytest.mark.parametrize(
    ("there", "text", "missing"),
    [
        ((1, 3), "<1>[…]<3>", [2]),
        ((2,), "[…]<2>[…]", [1, 3]),
        ((3,), "[…]<3>", [1, 2]),
        ((1, 2), "<1><2>[…]", [3]),
    ],
)
def test_it_gives_up_what_stays_incomplete(there, text, missing):
    collect(*(piece(number) for number in there))
    collect(*(piece(number, reference=8) for number in (1, 2, 3)))
    assert reassembly.give_up(now=NOW + timedelta(minutes=4)) == []
    (whole,) = reassembly.give_up(now=NOW + timedelta(minutes=6))
    assert (whole.text, whole.raw["missing"]) == (text, missing)
    assert reassembly.give_up(now=NOW + timedelta(minutes=6)) == []
    reassembly.forget(now=NOW + timedelta(minutes=6))
    assert not InboundPart.objects.exists()


def test_it_waits_as_long_as_pieces_come(db):
    collect(piece(1))
    collect(piece(2), now=NOW + timedelta(minutes=4))
    assert reassembly.give_up(now=NOW + timedelta(minutes=8)) == []
    assert collect(piece(3), now=NOW + timedelta(minutes=8)) == ["<1><2><3>"]


def test_it_does_nothing_for_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert collect() == []


@pytest.mark.django_db(transaction=True)
def test_it_makes_one_whole_of_what_comes_to_several_workers_at_once(together):
    rounds, total = 20, 4

    def worker(number: int) -> None:
        for reference in range(rounds):
            # Each has one piece that nobody else has, and one that the next has too.
            mine = [piece(n % total + 1, reference=reference, total=total) for n in (number, number + 1)]
            with transaction.atomic():
                arrivals.keep(arrived=mine, slugs={1: "one"})

    together(worker, total)
    texts = list(InboundMessage.objects.values_list("text", flat=True))
    assert texts == ["<1><2><3><4>"] * rounds
    assert not waiting()


@pytest.mark.django_db(transaction=True)
def test_it_gives_up_a_set_once_in_several_relays(together):
    for reference in range(30):
        arrivals.keep(arrived=[piece(1, reference=reference)], slugs={})
    later = datetime.now(tz=UTC) + timedelta(minutes=6)
    together(lambda _number: arrivals.give_up_pieces(now=later, slugs={1: "one"}), 3)
    rows = InboundMessage.objects.all()
    assert [(row.text, row.operator) for row in rows] == [("<1>[…]", "one")] * 30
    assert not InboundPart.objects.exists()
