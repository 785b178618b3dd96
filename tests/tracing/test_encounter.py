"""Encounters: opened, summed up by the minute, closed after silence."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import Payload
from bluezoned.tracing import encounter
from bluezoned.tracing.encounter import Encounter, EncounterLog, pack_minutes, unpack_minutes
from bluezoned.tracing.proximity import MINUTE, Minute
from bluezoned.tracing.sighting import Sighting

SILENCE = 5 * MINUTE


def sighting(peer: int, at: int, rssi: int = -60) -> Sighting:
    return Sighting("bluezone", Payload(Opaque(peer.to_bytes(12, "big")), None), rssi, at)


def heard(log: EncounterLog) -> list[Encounter]:
    return sorted(log.changed(), key=lambda e: (e.payload.rolling_id, e.start))


def test_minute_keeps_count_mean_and_strongest() -> None:
    log = EncounterLog(SILENCE)

    for at, rssi in ((0, -60), (1000, -70), (59_999, -50), (60_000, -80)):
        log.hear(sighting(1, at, rssi))

    (found,) = log.changed()
    assert [(m.at, m.packets, m.mean, m.strongest) for m in found.minutes] == [(0, 3, -60, -50), (MINUTE, 1, -80, -80)]
    assert [round(m.power, 1) for m in found.minutes] == [-52.4, -80.0]
    assert (found.start, found.end) == (0, 60_000)


def test_packet_of_an_earlier_minute_is_added_to_it() -> None:
    log = EncounterLog(SILENCE)

    for at, rssi in ((0, -60), (2 * MINUTE, -60), (59_999, -70), (MINUTE, -80)):
        log.hear(sighting(1, at, rssi))

    (found,) = log.changed()
    assert [(m.at, m.packets, m.mean) for m in found.minutes] == [(0, 2, -65), (MINUTE, 1, -80), (2 * MINUTE, 1, -60)]


def test_encounter_closes_after_five_silent_minutes() -> None:
    log = EncounterLog(SILENCE)

    log.hear(sighting(1, 0))
    log.hear(sighting(1, SILENCE))
    log.hear(sighting(1, 2 * SILENCE + 1))

    assert [(e.start, e.end) for e in heard(log)] == [(0, SILENCE), (2 * SILENCE + 1, 2 * SILENCE + 1)]


def test_settled_encounter_is_told_again_only_when_it_changes() -> None:
    log = EncounterLog(SILENCE)
    log.hear(sighting(1, 0))
    log.settle(0)

    assert log.changed() == []

    log.hear(sighting(1, 1000))
    assert len(log.changed()) == 1


def test_open_encounter_grows_over_a_settle() -> None:
    log = EncounterLog(SILENCE)
    log.hear(sighting(1, 0))
    log.settle(MINUTE)
    log.hear(sighting(1, 2 * MINUTE))

    (found,) = log.changed()
    assert found.start == 0
    assert len(found.minutes) == 2


def test_identifier_that_stays_for_hours_is_cut() -> None:
    log = EncounterLog(SILENCE)

    for at in range(0, encounter.LONGEST + MINUTE, MINUTE):
        log.hear(sighting(1, at))

    assert [len(e.minutes) for e in heard(log)] == [240, 1]


def test_flood_of_strangers_is_counted_not_kept() -> None:
    log = EncounterLog(SILENCE)

    for peer in range(encounter.MOST_OPEN + 7):
        log.hear(sighting(peer, 0))

    assert log.dropped == 7
    assert len(log.changed()) == encounter.MOST_OPEN


def test_late_metadata_completes_the_payload() -> None:
    log = EncounterLog(SILENCE)
    log.hear(sighting(1, 0))
    log.hear(Sighting("bluezone", Payload(Opaque((1).to_bytes(12, "big")), Opaque(b"abcd")), -60, 1))

    (found,) = log.changed()
    assert found.payload.metadata == b"abcd"


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3_600_000), st.integers(-100, -30)), max_size=60))
def test_order_of_different_identifiers_is_irrelevant(events: list[tuple[int, int, int]]) -> None:
    events.sort(key=lambda event: event[1])
    by_peer = sorted(events, key=lambda event: event[0])
    one, other = EncounterLog(SILENCE), EncounterLog(SILENCE)

    for peer, at, rssi in events:
        one.hear(sighting(peer, at, rssi))
    for peer, at, rssi in by_peer:
        other.hear(sighting(peer, at, rssi))

    assert heard(one) == heard(other)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 239),
            st.integers(1, 255),
            st.integers(-12_600, 2_000),
            st.integers(-126, 20),
            st.integers(-128, 127),
        ),
        min_size=1,
        unique_by=lambda minute: minute[0],
    ),
    st.integers(0, 10**13),
)
def test_packed_minutes_come_back(rows: list[tuple[int, int, int, int, int]], start: int) -> None:
    rows.sort()
    first = start - start % MINUTE
    shift = rows[0][0]
    minutes = tuple(
        Minute(first + (o - shift) * MINUTE, n, mean / 100, top, mean / 100 + above / 5)
        for o, n, mean, top, above in rows
    )

    assert unpack_minutes(pack_minutes(minutes), start) == minutes


def test_shuffled_packets_of_one_minute_give_one_summary() -> None:
    packets = [(at, -40 - at % 30) for at in range(0, 60_000, 500)]
    shuffled = packets[:1] + random.Random(1).sample(packets[1:], len(packets) - 1)
    one, other = EncounterLog(SILENCE), EncounterLog(SILENCE)

    for at, rssi in packets:
        one.hear(sighting(1, at, rssi))
    for at, rssi in shuffled:
        other.hear(sighting(1, at, rssi))

    (ordered,), (mixed,) = heard(one)[0].minutes, heard(other)[0].minutes
    assert (ordered.packets, ordered.mean, ordered.strongest) == (mixed.packets, mixed.mean, mixed.strongest)
    assert abs(ordered.power - mixed.power) < 1e-9


def test_what_was_not_listened_to_is_nobody_s_silence() -> None:
    log = EncounterLog(SILENCE)
    log.hear(sighting(1, 0))
    log.hear(sighting(2, 0))

    log.miss(4 * MINUTE)
    log.settle(8 * MINUTE)
    log.hear(sighting(1, 9 * MINUTE))
    log.hear(sighting(2, 10 * MINUTE))

    assert [(e.start, e.end) for e in heard(log)] == [(0, 9 * MINUTE), (10 * MINUTE, 10 * MINUTE)]


def test_a_gap_before_the_last_sighting_lengthens_nothing() -> None:
    log = EncounterLog(SILENCE)
    log.hear(sighting(1, 0))
    log.miss(4 * MINUTE)
    log.hear(sighting(1, 4 * MINUTE))

    log.settle(9 * MINUTE + 1)

    assert list(log.latest(9 * MINUTE + 1, 60 * MINUTE)) == []
