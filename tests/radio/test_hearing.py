"""When an ear is believed."""

from __future__ import annotations

from bluezoned.radio.hearing import (
    ALWAYS,
    FIRST_PROOF,
    MINUTE,
    PROOF,
    SECOND,
    SLOWEST_PROOF,
    WINDOWS,
    Duty,
    Hearing,
)


def listen(hearing: Hearing, start: int, end: int) -> None:
    for at in range(start, end + 1, SECOND):
        hearing.listen(at)


def test_silence_opens_the_filter_before_it_is_believed() -> None:
    hearing = Hearing()
    listen(hearing, 0, FIRST_PROOF)
    assert (hearing.wants_open, hearing.is_trusted) == (True, True)
    listen(hearing, FIRST_PROOF, FIRST_PROOF + PROOF)
    assert (hearing.wants_open, hearing.is_trusted) == (True, False)
    assert "deaf" in hearing.doubt


def test_one_packet_of_anybody_restores_trust() -> None:
    hearing = Hearing()
    listen(hearing, 0, FIRST_PROOF + PROOF)
    hearing.note_life(FIRST_PROOF + PROOF + 1)
    assert (hearing.wants_open, hearing.is_trusted, hearing.silence) == (False, True, 0)


def test_among_strangers_the_proof_becomes_rare() -> None:
    hearing = Hearing()
    at, gaps = 0, []
    for _ in range(6):
        begun = at
        while not hearing.wants_open:
            at += SECOND
            hearing.listen(at)
        gaps.append(at - begun)
        hearing.note_life(at)
    assert gaps == sorted(gaps)
    assert gaps[0] <= FIRST_PROOF + SECOND
    assert gaps[-1] <= SLOWEST_PROOF + SECOND
    assert gaps[-1] > 5 * gaps[0]


def test_a_packet_of_ours_makes_the_next_proof_early_again() -> None:
    hearing = Hearing()
    listen(hearing, 0, FIRST_PROOF)
    hearing.note_life(FIRST_PROOF)  # a stranger's, through the open filter
    hearing.note_life(FIRST_PROOF + SECOND)  # one of ours, through the closed one
    listen(hearing, FIRST_PROOF + 2 * SECOND, 2 * FIRST_PROOF + 2 * SECOND)
    assert hearing.wants_open


def test_resting_is_not_silence() -> None:
    hearing = Hearing()
    hearing.listen(0)
    for at in range(SECOND, 30 * MINUTE, SECOND):
        hearing.rest(at)
    assert hearing.is_resting
    assert hearing.silence <= SECOND
    assert hearing.is_trusted


def test_a_window_opens_in_each_minute() -> None:
    listening = [at for at in range(0, 10 * MINUTE, SECOND) if WINDOWS.is_on(at)]
    assert {at // MINUTE for at in listening} == set(range(10))
    assert len(listening) == 10 * 20


def test_the_radio_is_looked_after_when_a_window_changes() -> None:
    assert Hearing().next_change(0, Duty(2000, 10_000), 60_000) == 2000
    assert Hearing().next_change(2500, Duty(2000, 10_000), 60_000) == 7500
    assert Hearing().next_change(123, ALWAYS, 5000) == 5000


def test_what_is_not_listened_to_is_counted() -> None:
    hearing = Hearing()
    hearing.account(0, is_up=True)
    hearing.listen(0)
    hearing.account(10 * SECOND, is_up=True)
    hearing.rest(10 * SECOND)
    hearing.account(30 * SECOND, is_up=True)
    hearing.listen(30 * SECOND)
    hearing.account(35 * SECOND, is_up=False)

    assert hearing.missed == 25 * SECOND


def test_an_ear_that_is_not_trusted_hears_nothing() -> None:
    hearing = Hearing()
    for at in range(0, FIRST_PROOF + PROOF + MINUTE + 1, SECOND):
        hearing.account(at, is_up=True)
        hearing.listen(at)

    assert hearing.missed == MINUTE
