"""A capture is written, bounded, private, and gone in time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.errors import ProtocolError, StoreError
from bluezoned.opaque import Opaque
from bluezoned.radio import recording
from bluezoned.recorder import KEEP, LONGEST, Recorder

AT = 1_793_491_200_000
HEARD = Reception(Advertisement(frozenset((0xFD6F,)), {0xFD6F: Opaque(b"x" * 20)}), -60, AT)


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "capture.jsonl")


def test_what_is_heard_meanwhile_can_be_played_again(recorder: Recorder) -> None:
    recorder.hear(HEARD)
    recorder.begin(AT, 60_000)
    recorder.hear(HEARD)
    recorder.hear(HEARD)
    recorder.look(AT + 59_999)
    assert recorder.is_on
    recorder.look(AT + 60_000)
    recorder.hear(HEARD)

    with recorder.path.open("rb") as file:
        assert list(recording.read(file)) == [HEARD, HEARD]
    assert recorder.path.stat().st_mode & 0o777 == 0o600


def test_a_second_recording_takes_the_place_of_the_first(recorder: Recorder) -> None:
    recorder.begin(AT, 60_000)
    recorder.hear(HEARD)
    recorder.begin(AT, 60_000)
    recorder.end()

    assert recorder.path.read_bytes() == b""


@pytest.mark.parametrize("duration", [0, -1, LONGEST + 1])
def test_a_recording_has_an_end(duration: int, recorder: Recorder) -> None:
    with pytest.raises(ProtocolError, match="from 1 to 3600 s"):
        recorder.begin(AT, duration)


def test_a_capture_does_not_fill_the_card(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "capture.jsonl", most_bytes=500)
    recorder.begin(AT, 60_000)

    for _ in range(100):
        recorder.hear(HEARD)

    assert not recorder.is_on
    assert 500 < recorder.path.stat().st_size < 700


def test_a_capture_goes_by_itself(recorder: Recorder) -> None:
    recorder.begin(AT, 60_000)
    recorder.end()
    os.utime(recorder.path, (AT / 1000, AT / 1000))

    recorder.look(AT + KEEP)
    assert recorder.path.exists()
    recorder.look(AT + KEEP + 1)
    assert not recorder.path.exists()


def test_erasing_ends_it_and_leaves_nothing(recorder: Recorder) -> None:
    recorder.begin(AT, 60_000)

    recorder.erase()

    assert (recorder.is_on, recorder.path.exists()) == (False, False)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the capture cannot be written"):
        Recorder(tmp_path / "absent" / "capture.jsonl").begin(AT, 60_000)
