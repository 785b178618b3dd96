"""When which step is taken on a radio in trouble."""

from __future__ import annotations

import itertools

import pytest

from bluezoned.radio.recovery import ABSENT, MINUTE, REFUSED, SECOND, SILENT, Ladder, Recovery, Step


def steps(recovery: Recovery, end: int) -> list[tuple[int, Step]]:
    """What is due in [0, end) ms of unbroken trouble, looked at every second, with the second."""
    taken = []
    for at in range(0, end, SECOND):
        step = recovery.due(at)
        if step is not None:
            taken.append((at // SECOND, step))
    return taken


def test_trouble_is_met_with_the_mildest_step_first() -> None:
    assert [step for _, step in steps(Recovery(REFUSED), 150 * SECOND)] == [
        Step.RESTART_SCAN,
        Step.REGISTER_ANEW,
        Step.POWER_CYCLE,
        Step.RESET,
    ]


def test_what_passes_soon_is_left_alone() -> None:
    recovery = Recovery(REFUSED)
    assert steps(recovery, 19 * SECOND) == []
    recovery.note_well()
    assert recovery.due(19 * SECOND) is None
    assert recovery.due(38 * SECOND) is None


def test_each_climb_is_slower() -> None:
    ladder = Ladder(((10 * SECOND, Step.RESTART_SCAN), (20 * SECOND, Step.POWER_CYCLE)), slowest=4)
    cycles = [second for second, step in steps(Recovery(ladder), 6 * MINUTE) if step is Step.POWER_CYCLE]
    gaps = [later - earlier for earlier, later in itertools.pairwise(cycles)]
    assert gaps[:2] == pytest.approx([40, 80], abs=2)
    assert gaps[2:] == pytest.approx([80] * len(gaps[2:]), abs=2)


def test_a_silent_place_is_reset_hourly_at_most() -> None:
    resets = [second for second, step in steps(Recovery(SILENT), 24 * 60 * MINUTE) if step is Step.RESET]
    assert len(resets) <= 24 + 4


def test_steps_are_counted() -> None:
    recovery = Recovery(REFUSED)
    taken = steps(recovery, 150 * SECOND)
    recovery.note_well()
    assert recovery.taken.total() == len(taken) == 4


def test_a_clock_that_went_back_begins_the_trouble_anew() -> None:
    recovery = Recovery(REFUSED)
    recovery.due(MINUTE)
    assert recovery.due(0) is None
    assert recovery.due(20 * SECOND) is Step.RESTART_SCAN


def test_an_absent_bluetoothd_is_started_soon_and_then_rarely() -> None:
    asked = [second for second, _ in steps(Recovery(ABSENT), 10 * MINUTE)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert asked[0] == 5
    assert gaps == sorted(gaps)
    assert gaps[-1] == 60
