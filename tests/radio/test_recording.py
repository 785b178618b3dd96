"""Captures written, read and played again."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.clock import ManualClock
from bluezoned.errors import RadioError
from bluezoned.radio import recording
from bluezoned.radio.recording import RecordingRadio

ONE = Advertisement(manufacturer_data={0x22B5: b"twelve bytes"})


@given(st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(-127, 20), st.binary(max_size=20))))
def test_what_was_written_is_read(rows: list[tuple[int, int, bytes]]) -> None:
    receptions = [Reception(Advertisement(manufacturer_data={1: body}), rssi, at) for at, rssi, body in sorted(rows)]
    file = io.BytesIO()

    recording.write(receptions, file)

    file.seek(0)
    assert list(recording.read(file)) == receptions


@pytest.mark.parametrize(
    "line",
    [
        b"not JSON\n",
        b'{"at": 1, "rssi": -60}\n',
        b'{"at": 1, "rssi": -60, "data": "0g"}\n',
        b'{"at": 1, "rssi": -60, "data": "", "address": "00:11:22:33:44:55"}\n',
        b'{"at": 1, "rssi": -600, "data": ""}\n',
        b'{"at": 1, "rssi": -60, "data": "' + b"00" * 2000 + b'"}\n',
        b'{"at": 0, "rssi": -60, "data": ""}\n',
    ],
)
def test_bad_line_is_named_by_its_number(line: bytes) -> None:
    good = b'{"at": 1, "rssi": -60, "data": ""}\n'

    with pytest.raises(RadioError, match="line 2"):
        list(recording.read(io.BytesIO(good + line)))


async def test_capture_is_played_from_now_on_in_its_own_rhythm(tmp_path: Path) -> None:
    with (tmp_path / "capture").open("wb") as file:
        recording.write([Reception(ONE, -60, at) for at in (5000, 6500, 9000)], file)
    clock = ManualClock(1_000_000)
    heard: list[Reception] = []

    async def listen() -> None:
        async with RecordingRadio(tmp_path / "capture", clock) as radio:
            await radio.advertise(ONE)
            assert radio.health().advertising
            async for reception in radio:
                heard.append(reception)

    listening = asyncio.create_task(listen())
    await clock.settle()
    await clock.advance(1_060_000)
    listening.cancel()

    assert [r.at for r in heard] == [1_000_000, 1_001_500, 1_004_000]


async def test_missing_capture_is_said(tmp_path: Path) -> None:
    with pytest.raises(RadioError, match="no such capture"):
        await RecordingRadio(tmp_path / "nothing", ManualClock(0)).__aenter__()
