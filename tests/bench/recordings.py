"""Recorded packets with measured distances, cut into minutes: the sets in tests/recordings, and others as tables.

A further directory holds `sessions.csv` (session_id, group, dynamic, dataset, cal_dbm, is_cal), a `<set>.csv.gz` of
packets (session_id, tx, rx, t_s, rssi_dbm, distance_m) each, and for sets in which people move a
`<set>_groundtruth.csv.gz` (session_id, t_s, distance_m) and session ids that end in `-<rx>-<tx>`. Rows of one session
stand together, in order of time.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import lzma
import statistics
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

NEAR = 2.0
"""m. What the word means; no option."""

MINUTE = 60.0
"""s."""

COVERED = 0.4
"""Least part of a minute for which its distance must be known, so that a recording's tail is not judged."""

MOST_SCORED = 4
"""Minutes scored of one recording at a fixed distance, spread over it: an hour at one spot is one observation, not
sixty."""

SHIPPED = Path(__file__).parent.parent / "recordings"


@dataclass(frozen=True, slots=True)
class Window:
    """One minute of one pair; nothing may have been heard in it."""

    set: str
    session: str
    """The directed pair in one scene, or one recording."""
    group: str
    """Recordings in which devices and carriage are alike."""
    rx: str
    tx: str
    """Devices. A recording at a fixed distance is a world of its own, in which there are but two."""
    number: int
    """Minute of the session."""
    rssi: tuple[float, ...]
    """dBm."""
    t: tuple[float, ...]
    """s in the minute."""
    level_1m: float
    """dBm, expected of this pair at 1 m: its calibration."""
    distance: float
    """m, median of the minute."""
    seconds_near: float
    is_acted: bool
    """People moved, so that minutes near can be counted."""

    @property
    def is_near(self) -> bool:
        return self.distance <= NEAR

    @property
    def is_scored(self) -> bool:
        return bool(self.rssi)


class _Recording(msgspec.Struct, forbid_unknown_fields=True):
    """A line of a shipped set."""

    session: str
    group: str
    distance_m: float
    level_1m: float
    tenths: list[int]
    """Tenths of a second since the packet before."""
    rssi: list[int]


def shipped() -> list[Window]:
    """The sets in tests/recordings, by name."""
    windows: list[Window] = []
    for path in sorted(SHIPPED.glob("*.jsonl.xz")):
        with lzma.open(path) as lines:
            for line in lines:
                recording = msgspec.json.decode(line, type=_Recording)
                times = [tenths / 10 for tenths in itertools.accumulate(recording.tenths)]
                name = path.name.removesuffix(".jsonl.xz")
                windows += _still(
                    name,
                    f"{name}/{recording.session}",
                    recording.group,
                    times,
                    recording.rssi,
                    recording.level_1m,
                    recording.distance_m,
                )
    return windows


def tables(directory: Path, left_out: frozenset[str] = frozenset()) -> list[Window]:
    """The sets of a further directory but those `left_out`."""
    with (directory / "sessions.csv").open(newline="") as file:
        sessions = {row["session_id"]: row for row in csv.DictReader(file)}
    windows: list[Window] = []
    for path in sorted(directory.glob("*.csv.gz")):
        name = path.name.removesuffix(".csv.gz")
        if name.endswith("_groundtruth") or name in left_out:
            continue
        truth = _truth(directory / f"{name}_groundtruth.csv.gz")
        for session, rows in _sessions(path):
            about = sessions[session]
            if about["is_cal"] == "1":
                continue
            times = [float(row["t_s"]) for row in rows]
            rssi = [float(row["rssi_dbm"]) for row in rows]
            level = float(about["cal_dbm"])
            if about["dynamic"] == "1":
                windows += _acted(name, session, about["group"], times, rssi, level, truth[session])
            else:
                distance = float(rows[0]["distance_m"])
                windows += _still(name, session, about["group"], times, rssi, level, distance)
    return windows


def _sessions(path: Path) -> Iterator[tuple[str, list[dict[str, str]]]]:
    with gzip.open(path, "rt", newline="") as file:
        for session, rows in itertools.groupby(csv.DictReader(file), key=lambda row: row["session_id"]):
            yield session, list(rows)


def _truth(path: Path) -> Mapping[str, list[tuple[float, float]]]:
    """(s, m) by session; empty when there is no such file."""
    if not path.is_file():
        return {}
    return {s: [(float(r["t_s"]), float(r["distance_m"])) for r in rows] for s, rows in _sessions(path)}


def _still(
    name: str, session: str, group: str, times: Sequence[float], rssi: Sequence[float], level: float, distance: float
) -> list[Window]:
    end = times[-1]
    if end < COVERED * MINUTE:
        return []
    count = max(1, int(end // MINUTE) + (end % MINUTE >= COVERED * MINUTE))
    heard = [cut for number in range(count) if (cut := _cut(number, times, rssi))[1]]
    last = len(heard) - 1
    spread = {round(step * last / (MOST_SCORED - 1)) for step in range(MOST_SCORED)} if last >= MOST_SCORED else None
    seconds = MINUTE if distance <= NEAR else 0.0
    rx, tx = f"{session} rx", f"{session} tx"
    return [
        Window(name, session, group, rx, tx, number, levels, t, level, distance, seconds, False)
        for place, (number, levels, t) in enumerate(heard)
        if spread is None or place in spread
    ]


def _acted(
    name: str,
    session: str,
    group: str,
    times: Sequence[float],
    rssi: Sequence[float],
    level: float,
    truth: Sequence[tuple[float, float]],
) -> list[Window]:
    rx, tx = (f"{group} {device}" for device in session.rsplit("-", 2)[1:])
    instants = [at for at, _ in truth]
    windows = []
    for number in range(int(instants[-1] // MINUTE) + 1):
        first, end = (bisect_left(instants, (number + more) * MINUTE) for more in (0, 1))
        distances = [distance for _, distance in truth[first:end]]
        if len(distances) < COVERED * MINUTE:
            continue
        _, levels, t = _cut(number, times, rssi)
        near = float(sum(distance <= NEAR for distance in distances))
        middle = statistics.median(distances)
        windows.append(Window(name, session, group, rx, tx, number, levels, t, level, middle, near, True))
    return windows


def _cut(
    number: int, times: Sequence[float], rssi: Sequence[float]
) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    first, end = (bisect_left(times, (number + more) * MINUTE) for more in (0, 1))
    return number, tuple(rssi[first:end]), tuple(at - number * MINUTE for at in times[first:end])
