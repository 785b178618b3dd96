"""What is told of the published app's iPhones. Bytes: docs/protocols/bluezone.md, Phones that must be read."""

from __future__ import annotations

import pytest

from bluezoned.protocols import bluezone, bluezone_iphone
from bluezoned.protocols.bluezone import Bluezone

FOREGROUND = ["00004e56-73f5-4bc4-a12f-17d1ad07a667"]
BACKGROUND = bytes.fromhex("01 08") + bytes(15)


@pytest.mark.parametrize(
    ("uuids", "apple"),
    [
        (FOREGROUND, None),
        ([], BACKGROUND),
        # Another app of the same phone advertises in the background too.
        ([], bytes.fromhex("01 48 00 80") + bytes(13)),
    ],
)
def test_iphones_with_the_app_are_told_by_what_they_show(uuids: list[str], apple: bytes | None) -> None:
    assert bluezone_iphone.is_shown(uuids, {} if apple is None else {0x004C: apple})


@pytest.mark.parametrize(
    ("uuids", "manufacturer_data"),
    [
        ([], {}),
        # Android phones send their id themselves.
        (["00004e56-0000-1000-8000-00805f9b34fb"], {0x22B5: bytes(12)}),
        ([], {0x004C: bytes.fromhex("01 40") + bytes(15)}),
        ([], {0x004C: bytes.fromhex("01 08")}),
        # An iBeacon, and the mask under another company.
        ([], {0x004C: bytes.fromhex("02 15 08") + bytes(20)}),
        ([], {0x22B5: BACKGROUND}),
    ],
)
def test_others_are_left_alone(uuids: list[str], manufacturer_data: dict[int, bytes]) -> None:
    assert not bluezone_iphone.is_shown(uuids, manufacturer_data)


def test_what_was_read_is_heard_like_an_android_phone() -> None:
    advertisement = bluezone_iphone.advertisement(bytes(range(12)))

    assert advertisement is not None
    payload = Bluezone().read(advertisement)
    assert payload is not None
    assert payload.rolling_id == bytes(range(12))
    assert payload.metadata is None
    assert advertisement.service_uuids == {bluezone.SERVICE}


@pytest.mark.parametrize("value", [b"", bytes(11), bytes(13), bytes(512)])
def test_what_is_no_rolling_id_is_nothing(value: bytes) -> None:
    assert bluezone_iphone.advertisement(value) is None
