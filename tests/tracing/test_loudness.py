"""Offsets that a crowd tells: bounded, drawn to nothing by few, coarse where they leave the box."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from bluezoned.tracing import loudness
from bluezoned.tracing.loudness import Meeting
from bluezoned.tracing.proximity import MINUTE


def test_lone_peer_tells_nothing_of_the_own_offset() -> None:
    assert loudness.crowd_offset([{m * MINUTE: 20.0 for m in range(10)}]) == 0.0
    assert loudness.crowd_offset([]) == 0.0


@given(st.floats(-30, 30), st.floats(0, 30))
def test_louder_crowd_moves_the_boundary_up_and_not_without_end(shift: float, louder: float) -> None:
    quiet, loud = (
        loudness.crowd_offset([{m * MINUTE: level + by for m in range(20)} for level in (-12.0, -6.0, 0.0, 6.0, 12.0)])
        for by in (shift, shift + louder)
    )

    assert -loudness.CROWD_BOUND <= quiet <= loud <= loudness.CROWD_BOUND


def test_crowd_of_two_weighs_less_than_a_crowd_of_twenty() -> None:
    few = [{0: level} for level in (0.0, 6.0)]
    many = [{0: level} for level in (0.0, 6.0) for _ in range(10)]

    assert 0 < loudness.crowd_offset(few) < loudness.crowd_offset(many)


def test_own_offset_cancels_in_what_a_receiver_tells() -> None:
    crowd = [{0: 5.0}, {0: -3.0}, {0: 1.0}]
    louder = [{at: level + 7 for at, level in peer.items()} for peer in crowd]

    assert math.isclose(loudness.residual(crowd[0], crowd), loudness.residual(louder[0], louder))


def test_one_liar_among_five_moves_little() -> None:
    assert loudness.transmit_offset([0] * 5) == 0
    assert loudness.transmit_offset([0] * 4 + [1000]) == 2


def test_fewer_than_five_words_say_nothing() -> None:
    assert loudness.transmit_offset([12] * 4) is None
    assert loudness.transmit_offset([12] * 5) == 8


@given(st.floats(-40, 40))
def test_word_is_coarse_and_bounded(above: float) -> None:
    peer = {minute * MINUTE: above for minute in range(5)}
    crowd = [peer, *({0: 0.0} for _ in range(4))]

    word = loudness.word([Meeting(peer, crowd)])

    assert word is not None
    assert word % loudness.TOLD_GRAIN == 0
    bounded = max(-loudness.TOLD_BOUND, min(loudness.TOLD_BOUND, above * 4 / 5))
    assert abs(word - bounded) <= loudness.TOLD_GRAIN / 2 + 1e-9


def test_four_minutes_or_three_others_are_no_word() -> None:
    five, four = ({minute * MINUTE: 6.0 for minute in range(minutes)} for minutes in (5, 4))
    others = [{0: 0.0}] * 4

    assert loudness.word([Meeting(five, [five, *others])]) is not None
    assert loudness.word([Meeting(four, [four, *others])]) is None
    assert loudness.word([Meeting(five, [five, *others[1:]])]) is None
    assert loudness.word([Meeting(five, [five, {0: 6.0}, *others[1:]], rolling_ids=2)]) is None


def test_short_meetings_in_company_add_up_to_a_word() -> None:
    three, two = {0: 6.0, MINUTE: 6.0, 2 * MINUTE: 6.0}, {60 * MINUTE: 6.0, 61 * MINUTE: 6.0}
    others = [{0: 0.0}] * 4

    assert loudness.word([Meeting(three, [three, *others]), Meeting(two, [two, *others])]) == 4
    assert loudness.word([Meeting(three, [three, *others]), Meeting(two, [two])]) is None
