"""Bluezone against published and captured bytes: tests/vectors/bluezone.json, bluezone_metadata.json."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bluezoned.advertisement import Advertisement, decode
from bluezoned.errors import ProtocolError
from bluezoned.opaque import Opaque
from bluezoned.protocols.bluezone import COMPANY, SERVICE, Bluezone, KeySchedule
from bluezoned.protocols.protocol import DAY, DailyKey, DiagnosisKey, Payload, RollingWindow

VECTORS = Path(__file__).parents[1] / "vectors"
BLUEZONE: dict[str, Any] = json.loads((VECTORS / "bluezone.json").read_text())
METADATA: dict[str, Any] = json.loads((VECTORS / "bluezone_metadata.json").read_text())
MATCHING: dict[str, Any] = BLUEZONE["matching"]
TX_POWER = -12


def opaque(text: str) -> Opaque:
    return Opaque(bytes.fromhex(text))


def no_random(size: int) -> bytes:
    raise AssertionError("an unbroken chain needs no randomness")


def rolling_id_at(protocol: Bluezone, key: DailyKey, at: int) -> str:
    return protocol.advertisement(key, at, TX_POWER).manufacturer_data[COMPANY].hex().upper()


def chained_key(base: str, day: int, protocol: Bluezone) -> DailyKey:
    first = DailyKey(opaque(base), 0, DAY)
    return protocol.daily_key(day * DAY, (day + 1) * DAY, first, no_random)


@pytest.mark.parametrize("answer", BLUEZONE["field_known_answers"])
def test_id_captured_from_a_stock_phone_comes_at_its_time(answer: dict[str, Any]) -> None:
    key = DailyKey(opaque(answer["base_id"]), answer["time"] * 1000, answer["time"] * 1000 + DAY)

    assert rolling_id_at(Bluezone(), key, answer["sighting_ms"]) == answer["blid"]


@pytest.mark.parametrize("vector", BLUEZONE["schedule"])
def test_chain_and_ids_of_a_day_follow_the_published_schedule(vector: dict[str, Any]) -> None:
    protocol = Bluezone(KeySchedule.CHAINED)
    day = vector["day"] * DAY

    key = chained_key(vector["base_id"], vector["day"], protocol)
    windows = protocol.expand(DiagnosisKey("bluezone", key.secret, day, day + DAY))

    assert key.secret.hex().upper() == vector["daily_key"]
    assert {slot: windows[int(slot)].rolling_id.hex().upper() for slot in vector["blid"]} == vector["blid"]
    joined = b"".join(window.rolling_id for window in windows)
    assert sha256(joined).hexdigest().upper() == vector["sha256_of_all_96_blids_concatenated"]


@pytest.mark.parametrize("vector", BLUEZONE["other_n"])
def test_other_numbers_of_slots_follow_the_published_schedule(vector: dict[str, Any]) -> None:
    protocol = Bluezone(slots_per_day=vector["n"])
    windows = protocol.expand(DiagnosisKey("bluezone", opaque(vector["base_id"]), 0, DAY))

    assert protocol.rotation == vector["slot_ms"]
    assert len(windows) == vector["n"]
    assert {slot: windows[int(slot)].rolling_id.hex().upper() for slot in vector["blid"]} == vector["blid"]


@pytest.mark.parametrize("vector", BLUEZONE["slot_index"])
def test_slot_changes_at_its_published_instants(vector: dict[str, Any]) -> None:
    protocol = Bluezone(slots_per_day=vector["n"])
    start = vector["day_start_s"] * 1000
    secret = opaque("00" * 32)
    window = protocol.expand(DiagnosisKey("bluezone", secret, start, start + DAY))[vector["slot"]]

    assert window.start <= vector["t_ms"] < window.end
    rolling_id = rolling_id_at(protocol, DailyKey(secret, start, start + DAY), vector["t_ms"])
    assert rolling_id == window.rolling_id.hex().upper()


@pytest.mark.parametrize("vector", BLUEZONE["info_f_upload"])
def test_key_that_the_app_uploads_is_the_chains_key_of_its_day(vector: dict[str, Any]) -> None:
    value = vector["value"]
    installed, start = value["time"] * 1000, value["time_start"] * 1000
    base = DailyKey(opaque(value["base_id"]), installed, installed + DAY)

    key = Bluezone(KeySchedule.CHAINED).daily_key(start, start + DAY, base, no_random)

    assert key.secret.hex().upper() == value["daily_key"]


@pytest.fixture(scope="module")
def f0_windows() -> list[RollingWindow]:
    """The F0 record's last window begins at time_end; 20 min later is the first point of the grid that lets it in."""
    record = MATCHING["f0_record"]
    end = record["time_end"] * 1000 + 1_200_000
    key = DiagnosisKey("bluezone", opaque(record["daily_key"]), record["time_start"] * 1000, end)
    return Bluezone().expand(key)


def test_f0_record_of_several_days_expands_along_the_chain(f0_windows: list[RollingWindow]) -> None:
    listed = [[w.rolling_id.hex().upper(), w.start, w.end] for w in f0_windows]

    assert len(listed) == MATCHING["windows"]
    assert [listed[0], listed[96], listed[-1]] == [MATCHING["first"], MATCHING["window_96"], MATCHING["last"]]


@pytest.mark.parametrize("case", MATCHING["cases"], ids=lambda case: case["case"])
def test_upstream_rule_on_our_windows_gives_the_upstream_matches(
    case: dict[str, Any], f0_windows: list[RollingWindow]
) -> None:
    closed = [w for w in f0_windows if w.start <= case["t_ms"] <= w.end]

    assert (bytes.fromhex(case["blid"]) in [w.rolling_id for w in closed]) is case["match"]


def test_phones_advertisement_is_read_without_metadata() -> None:
    vector = BLUEZONE["advertisement"]
    data = bytes.fromhex(vector["ad_structures_without_flags"])

    assert Bluezone().read(decode(data)) == Payload(opaque(vector["blid"]), None)


def test_our_advertisement_begins_with_the_phones_bytes() -> None:
    vector = BLUEZONE["advertisement"]
    key = DailyKey(opaque(METADATA["daily_key"]), 0, DAY)

    data = Bluezone().advertisement(key, 0, TX_POWER).encode()

    assert data[: vector["length"]].hex().upper() == vector["ad_structures_without_flags"]


@pytest.mark.parametrize("vector", METADATA["advertisements"])
def test_advertisement_with_metadata_has_the_specified_bytes(vector: dict[str, Any]) -> None:
    protocol = Bluezone()
    key = DailyKey(opaque(METADATA["daily_key"]), 0, DAY)

    data = protocol.advertisement(key, vector["slot"] * protocol.rotation, vector["tx_power"]).encode()

    assert data.hex().upper() == vector["data"]


@pytest.mark.parametrize("vector", METADATA["advertisements"])
def test_specified_metadata_tells_its_transmit_power(vector: dict[str, Any]) -> None:
    protocol = Bluezone()
    payload = protocol.read(decode(bytes.fromhex(vector["data"])))

    assert payload is not None
    assert payload.metadata == bytes.fromhex(vector["sealed"])
    key = DiagnosisKey("bluezone", opaque(METADATA["daily_key"]), 0, DAY)
    assert protocol.tx_power(key, payload) == vector["tx_power"]


def test_metadata_of_a_later_day_is_opened_with_that_days_key() -> None:
    protocol = Bluezone(KeySchedule.CHAINED)
    later = chained_key("00" * 32, 2, protocol)
    payload = protocol.read(protocol.advertisement(later, 2 * DAY + 5_000_000, -3))

    assert payload is not None
    assert protocol.tx_power(DiagnosisKey("bluezone", opaque("00" * 32), 0, 3 * DAY), payload) == -3


@pytest.mark.parametrize("size", [0, 1, 3, 5, 15])
def test_metadata_of_odd_length_is_ignored_and_the_id_read(size: int) -> None:
    advertisement = Advertisement(frozenset((SERVICE,)), {SERVICE: bytes(size)}, {COMPANY: bytes(12)})

    assert Bluezone().read(advertisement) == Payload(Opaque(bytes(12)), None)


@pytest.mark.parametrize(
    "advertisement",
    [
        Advertisement(frozenset(), {SERVICE: bytes(4)}, {COMPANY: bytes(12)}),
        Advertisement(frozenset((SERVICE,)), {SERVICE: bytes(4)}, {0x004C: bytes(12)}),
        Advertisement(frozenset((SERVICE,)), {SERVICE: bytes(12)}),
        Advertisement(frozenset((SERVICE,)), {}, {COMPANY: bytes(6)}),
    ],
    ids=["without UUID", "another company", "without company", "version 1"],
)
def test_advertisement_that_lacks_one_of_the_marks_is_not_ours(advertisement: Advertisement) -> None:
    assert Bluezone().read(advertisement) is None


def test_independent_keys_ignore_the_day_before() -> None:
    yesterday = DailyKey(opaque("00" * 32), 0, DAY)

    key = Bluezone().daily_key(DAY, 2 * DAY, yesterday, lambda size: b"\x07" * size)

    assert key.secret == b"\x07" * 32


def test_broken_chain_starts_from_fresh_bytes() -> None:
    key = Bluezone(KeySchedule.CHAINED).daily_key(DAY, 2 * DAY, None, lambda size: b"\x07" * size)

    assert key.secret == b"\x07" * 32


def test_chain_is_not_walked_back() -> None:
    tomorrow = DailyKey(opaque("00" * 32), DAY, 2 * DAY)

    with pytest.raises(ValueError, match="later day"):
        Bluezone(KeySchedule.CHAINED).daily_key(0, DAY, tomorrow, no_random)


@pytest.mark.parametrize("slots", [7, 145, 288, 1440])
def test_slots_that_do_not_divide_a_day_into_ten_minutes_or_more_are_refused(slots: int) -> None:
    with pytest.raises(ValueError, match="slots_per_day"):
        Bluezone(slots_per_day=slots)


def test_window_beyond_the_longest_chain_is_refused() -> None:
    with pytest.raises(ProtocolError, match="longer"):
        Bluezone().expand(DiagnosisKey("bluezone", opaque("00" * 32), 0, 16 * DAY))
