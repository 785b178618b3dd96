"""GAEN against Google's published bytes: tests/vectors/gaen.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from bluezoned.advertisement import Advertisement, decode
from bluezoned.errors import ProtocolError
from bluezoned.opaque import Opaque
from bluezoned.protocols import metadata
from bluezoned.protocols.gaen import SERVICE, Gaen
from bluezoned.protocols.protocol import DAY, DailyKey, DiagnosisKey, Payload

VECTOR: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "gaen.json").read_text())
INTERVALS: list[dict[str, Any]] = VECTOR["intervals"]
SECRET = Opaque(bytes.fromhex(VECTOR["tek"]))
START = VECTOR["rolling_start_interval_number"] * 600_000
END = START + VECTOR["rolling_period"] * 600_000
TX_POWER = 8  # byte 1 of the published metadata 40080000


def published(interval: dict[str, Any]) -> Payload:
    return Payload(Opaque(bytes.fromhex(interval["rpi"])), Opaque(bytes.fromhex(interval["aem"])))


def test_keys_derived_from_the_published_key_are_the_published_ones() -> None:
    assert metadata.subkey(SECRET, b"EN-RPIK").hex() == VECTOR["rpik"]
    assert metadata.subkey(SECRET, b"EN-AEMK").hex() == VECTOR["aemk"]


def test_expansion_gives_the_published_identifiers_in_their_intervals() -> None:
    windows = Gaen().expand(DiagnosisKey("gaen", SECRET, START, END))

    assert [w.rolling_id.hex() for w in windows] == [interval["rpi"] for interval in INTERVALS]
    assert [w.start for w in windows] == [START + interval["interval"] * 600_000 for interval in INTERVALS]


@pytest.mark.parametrize("interval", INTERVALS, ids=lambda interval: interval["interval"])
def test_advertisement_carries_the_published_identifier_and_metadata(interval: dict[str, Any]) -> None:
    key = DailyKey(SECRET, START, END)

    data = Gaen().advertisement(key, START + interval["interval"] * 600_000, TX_POWER).encode()

    assert data.hex() == "03036ffd17166ffd" + interval["rpi"] + interval["aem"]
    assert Gaen().read(decode(data)) == published(interval)


@pytest.mark.parametrize("interval", INTERVALS, ids=lambda interval: interval["interval"])
def test_published_metadata_tells_its_transmit_power(interval: dict[str, Any]) -> None:
    assert Gaen().tx_power(DiagnosisKey("gaen", SECRET, START, END), published(interval)) == TX_POWER


def test_key_of_part_of_a_day_expands_to_its_rolling_period() -> None:
    windows = Gaen().expand(DiagnosisKey("gaen", SECRET, START + 6_000_000, START + 7_200_000))

    assert [w.rolling_id.hex() for w in windows] == [INTERVALS[10]["rpi"], INTERVALS[11]["rpi"]]


def test_google_version_1_1_is_read() -> None:
    shipped = bytes((0x50, 0xF0, 0, 0))
    key, counter = bytes(16), bytes(16)
    keystream = bytes(a ^ b for a, b in zip(metadata.seal(key, counter, 0), b"\x40\0\0\0", strict=True))

    sealed = bytes(a ^ b for a, b in zip(shipped, keystream, strict=True))

    assert metadata.tx_power(key, counter, sealed) == -16


def test_unknown_major_version_tells_nothing() -> None:
    sealed = bytearray(metadata.seal(bytes(16), bytes(16), 0))
    sealed[0] ^= 0xC0  # 01 becomes 10

    assert metadata.tx_power(bytes(16), bytes(16), bytes(sealed)) is None


@pytest.mark.parametrize("size", [0, 16, 19, 21])
def test_service_data_of_another_size_is_malformed(size: int) -> None:
    assert Gaen().read(Advertisement(frozenset((SERVICE,)), {SERVICE: bytes(size)})) is None


def test_key_of_more_than_a_day_is_refused() -> None:
    with pytest.raises(ProtocolError, match="longer"):
        Gaen().expand(DiagnosisKey("gaen", SECRET, START, START + DAY + 600_000))
