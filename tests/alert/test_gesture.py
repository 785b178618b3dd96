"""What a hand means, and what a broken contact does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.alert.gesture import ERASING, HOLD, SETTLE, STUCK, Gesture, GestureReader

LONG_AFTER = 60_000


def read(*changes: tuple[int, int, bool], pressed: tuple[bool, ...] = (False, False)) -> list[Gesture]:
    """What a hand meant that changed button `n` at `at`: (at, n, pressed)."""
    reader = GestureReader(list(pressed), 0)
    found = []
    for at, number, is_pressed in changes:
        found += reader.change(number, is_pressed, at)
    last = changes[-1][0] if changes else 0
    return found + reader.look(last + LONG_AFTER)


def presses(count: int, begin: int = 1000) -> list[tuple[int, int, bool]]:
    return [change for n in range(count) for change in ((begin + 400 * n, 0, True), (begin + 400 * n + 150, 0, False))]


def meant(gestures: list[Gesture]) -> list[Gesture]:
    return [gesture for gesture in gestures if gesture is not Gesture.COUNT]


def test_one_short_press() -> None:
    assert read((1000, 0, True), (1200, 0, False)) == [Gesture.PRESS]


def test_holding_is_counted_by_the_second_and_acts_once() -> None:
    assert read((1000, 0, True), (9000, 0, False)) == [Gesture.COUNT] * 3 + [Gesture.HOLD]


def test_a_hold_acts_before_the_button_is_let_go() -> None:
    reader = GestureReader([False], 0)
    reader.change(0, True, 1000)

    assert meant(reader.look(1000 + SETTLE + HOLD - 1)) == []
    assert meant(reader.look(1000 + SETTLE + HOLD)) == [Gesture.HOLD]


def test_letting_go_early_means_nothing() -> None:
    assert meant(read((1000, 0, True), (3500, 0, False))) == []


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_other_numbers_of_presses_mean_nothing(count: int) -> None:
    assert [g for g in read(*presses(count)) if g is not Gesture.ENOUGH] == []


def test_five_presses_and_a_hold_erase() -> None:
    hold = 1000 + 400 * ERASING
    gestures = meant(read(*presses(ERASING), (hold, 0, True), (hold + 5000, 0, False)))

    assert gestures == [Gesture.ENOUGH, Gesture.ERASE]


@pytest.mark.parametrize("count", [1, 4, 6])
def test_other_numbers_of_presses_and_a_hold_mean_nothing(count: int) -> None:
    hold = 1000 + 400 * count
    gestures = meant(read(*presses(count), (hold, 0, True), (hold + 5000, 0, False)))

    assert [g for g in gestures if g is not Gesture.ENOUGH] == []


def test_five_presses_and_a_hold_that_comes_late_are_a_hold() -> None:
    gestures = meant(read(*presses(ERASING), (9000, 0, True), (14_000, 0, False)))

    assert gestures == [Gesture.ENOUGH, Gesture.HOLD]


@pytest.mark.parametrize("first", [0, 1])
def test_holding_both_is_one_gesture(first: int) -> None:
    gestures = read((1000, first, True), (1300, 1 - first, True), (6000, first, False), (6100, 1 - first, False))

    assert meant(gestures) == [Gesture.HOLD_BOTH]


def test_the_second_button_alone_means_nothing() -> None:
    assert read((1000, 1, True), (1200, 1, False), (3000, 1, True), (8000, 1, False)) == []


def test_both_let_go_early_mean_nothing_and_the_next_press_counts_again() -> None:
    gestures = read(
        (1000, 0, True), (1100, 1, True), (1500, 1, False), (1600, 0, False), (5000, 0, True), (5100, 0, False)
    )

    assert gestures == [Gesture.PRESS]


def test_a_bouncing_contact_is_one_press() -> None:
    bounces = [(1000 + 3 * n, 0, n % 2 == 0) for n in range(7)]

    assert read(*bounces, (1300, 0, False), (1305, 0, True), (1310, 0, False)) == [Gesture.PRESS]


def test_a_spike_is_nothing() -> None:
    assert read((1000, 0, True), (1010, 0, False)) == []


def test_a_stuck_button_is_told_once_and_freed() -> None:
    gestures = meant(read((1000, 0, True), (1000 + 10 * STUCK, 0, False)))

    assert gestures == [Gesture.HOLD, Gesture.STUCK, Gesture.FREE]


def test_a_button_pressed_since_before_the_start_is_told_and_not_obeyed() -> None:
    assert read(pressed=(True, False)) == [Gesture.STUCK]


def test_a_button_let_go_soon_after_the_start_was_neither_a_press_nor_stuck() -> None:
    assert read((2000, 0, False), pressed=(True, False)) == []


def test_a_stuck_second_button_does_not_make_a_press_of_the_first_one_both() -> None:
    gestures = read((20_000, 0, True), (20_200, 0, False), (30_000, 0, True), (34_000, 0, False), pressed=(False, True))

    assert meant(gestures) == [Gesture.STUCK, Gesture.PRESS, Gesture.HOLD]


changes = st.lists(st.tuples(st.integers(1, 4000), st.integers(0, 1), st.booleans()), max_size=40)


@given(changes)
def test_whatever_a_hand_does_every_hold_is_counted_before_it_acts_and_reading_ends(
    steps: list[tuple[int, int, bool]],
) -> None:
    reader = GestureReader([False, False], 0)
    at, counted = 0, 0
    found = []
    for wait, number, pressed in steps:
        at += wait
        found += reader.change(number, pressed, at)
    found += reader.look(at + LONG_AFTER)
    for gesture in found:
        if gesture in (Gesture.HOLD, Gesture.HOLD_BOTH, Gesture.ERASE):
            assert counted >= HOLD // 1000
        counted = counted + 1 if gesture is Gesture.COUNT else 0 if gesture is not Gesture.STUCK else counted
    assert reader.next_look() is None


@given(changes, st.lists(st.integers(1, 500), max_size=60))
def test_when_it_is_looked_at_does_not_change_what_is_meant(
    steps: list[tuple[int, int, bool]], looks: list[int]
) -> None:
    """The daemon may be late: what counts is when the contact changed."""
    instants, at = [], 0
    for wait, number, pressed in steps:
        at += wait
        instants.append((at, number, pressed))
    lazy, busy = GestureReader([False, False], 0), GestureReader([False, False], 0)
    found: tuple[list[Gesture], list[Gesture]] = ([], [])
    moments = sorted({sum(looks[: n + 1]) for n in range(len(looks))})
    for when, number, pressed in instants:
        for moment in [m for m in moments if m <= when]:
            found[1].extend(busy.look(moment))
        moments = [m for m in moments if m > when]
        found[0].extend(lazy.change(number, pressed, when))
        found[1].extend(busy.change(number, pressed, when))

    assert found[0] + lazy.look(at + LONG_AFTER) == found[1] + busy.look(at + LONG_AFTER)
