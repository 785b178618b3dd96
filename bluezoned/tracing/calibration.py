"""Calibration: what the levels of one other box at 1 m tell of our own gains.

Holds the levels while they are gathered, what can be wrong with them, and the gains that follow. Knows which rolling
ids were heard for the few seconds of a window and no longer: what is told of a window are counts and levels alone.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bluezoned.tracing.proximity import MINUTE, Ranging

WINDOW = 5_000
"""ms. In each the strongest peer is chosen anew, so that a rolling id may change meanwhile. A window of 1 s would hold
three packets, one of 20 s would mix two boxes that changed places."""

DURATION = 2 * MINUTE
"""ms of listening. A wearable's radio hears for a third of it, some 160 packets; the mean of a still pair is then
within 1 dB, and what is left of a calibration's error (bodies, rooms) is larger. One minute catches no drift."""

LONGEST = 10 * MINUTE
"""ms after which gathering ends by itself: nobody may leave it running."""

FEWEST_PACKETS = 60
"""The sparsest of the open recordings, two Pis with a packet every two seconds, brings 90 in two minutes. Of half as
many with a spread of 6 dB the mean is worse than 1 dB; twice as many a wearable may not hear."""

WIDEST_SPREAD = 8.0
"""dB s.d. of the packets. Of the open recordings at a fixed distance nineteen in twenty scatter by less than 7.4,
phones on bodies by 8.1. At half of it two in five are refused, at twice somebody may dance between."""

MOST_DRIFT = 4.0
"""dB between the first and the second half. Nine in ten open recordings of devices that lie still differ by less than
1.9, of phones on bodies by 4.8 to 7.1, and on a body none should be. Halved, it refuses one honest try in ten."""

SATURATED = -30
"""dBm. At 1 m boards arrive at -45 to -75; above -30 the receiver's scale bends and the boxes touch."""

LEAST_MARGIN = 6.0
"""dB by which the other box must be louder than any third one. Below, it is not sure which of them is 1 m away."""

COARSE_STEP = 8
"""dB. bluetoothd tells a level only when it has moved so far, unless it scans actively with a filter on levels."""


@dataclass(frozen=True, slots=True)
class LevelWindow:
    """The loudest peer of one window."""

    packets: int
    mean: float
    """dBm, of the levels in dB."""
    spread: float
    """dB s.d."""
    strongest: int
    """dBm."""
    step: int
    """dB, the least difference between one packet and the next; 0 when all are alike."""
    margin: float
    """dB above the mean of the next loudest; as if it were at -127 dBm where there is none."""


class LevelLog:
    """Gathers windows from `begun` (ms) on."""

    def __init__(self, begun: int) -> None:
        self._begun = begun
        self._number = 0
        self._heard: dict[Hashable, list[int]] = {}
        self._windows: list[LevelWindow] = []

    def is_over(self, at: int) -> bool:
        """Whether it has gathered for as long as it may."""
        return not self._begun <= at < self._begun + LONGEST

    def hear(self, peer: Hashable, rssi: int, at: int) -> None:
        """One packet (dBm) of one rolling id."""
        self._advance(at)
        self._heard.setdefault(peer, []).append(rssi)

    def windows(self, at: int) -> tuple[LevelWindow, ...]:
        """Those that are complete and in which somebody was heard."""
        self._advance(at)
        return tuple(self._windows)

    def _advance(self, at: int) -> None:
        number = (at - self._begun) // WINDOW
        if number <= self._number:
            return
        if self._heard:
            self._windows.append(_loudest(list(self._heard.values())))
        self._heard = {}
        self._number = number


def _loudest(peers: Sequence[Sequence[int]]) -> LevelWindow:
    """Among those heard at least a third as often as the busiest: a single packet may be loud by luck, or the last one
    of an id that has just changed."""
    busiest = max(map(len, peers))
    ordered = sorted((p for p in peers if 3 * len(p) >= busiest), key=statistics.fmean, reverse=True)
    levels = ordered[0]
    next_mean = statistics.fmean(ordered[1]) if len(ordered) > 1 else -127.0
    mean = statistics.fmean(levels)
    step = min((abs(b - a) for a, b in pairwise(levels) if a != b), default=0)
    return LevelWindow(len(levels), mean, statistics.pstdev(levels), max(levels), step, mean - next_mean)


# what follows


@dataclass(frozen=True, slots=True)
class Measurement:
    """All windows together."""

    packets: int
    level: float
    """dBm, mean of the levels in dB: what a box like the other gives at 1 m."""
    spread: float
    """dB s.d. of the packets."""
    drift: float
    """dB by which the second half is louder."""
    strongest: int
    """dBm."""
    step: int
    """dB, the least between two packets; 0 when all are alike."""
    margin: float
    """dB above the next box in all but one window of ten: one may have had the box's old id beside its new one."""


def measure(windows: Sequence[LevelWindow]) -> Measurement | None:
    """None when nothing was heard."""
    if not windows:
        return None
    packets = sum(w.packets for w in windows)
    level = _mean(windows)
    square = math.fsum(w.packets * (w.spread**2 + (w.mean - level) ** 2) for w in windows) / packets
    half = len(windows) // 2
    return Measurement(
        packets,
        level,
        math.sqrt(square),
        _mean(windows[half:]) - _mean(windows[:half]) if half else 0.0,
        max(w.strongest for w in windows),
        min((w.step for w in windows if w.step), default=0),
        sorted(w.margin for w in windows)[len(windows) // 10],
    )


def _mean(windows: Sequence[LevelWindow]) -> float:
    return math.fsum(w.packets * w.mean for w in windows) / sum(w.packets for w in windows)


def flaws(measurement: Measurement | None) -> list[str]:
    """Why a measurement must not be used and what to do, sentences for people; empty when it may."""
    if measurement is None:
        return ["Nothing was heard: is the other box on and not paused, does this one hear (bluezonectl status)?"]
    m = measurement
    found = []
    if m.packets < FEWEST_PACKETS:
        found.append(f"Only {m.packets} packets were heard, {FEWEST_PACKETS} are needed: bring no other work to this "
                     "box's radio, and try again.")  # fmt: skip
    if m.margin < LEAST_MARGIN:
        found.append("A third box was nearly as loud: switch it off or take both away from it.")
    if m.strongest >= SATURATED:
        found.append(f"Packets arrived at {m.strongest} dBm: the boxes are too close. Put them 1 m apart.")
    if m.step >= COARSE_STEP:
        found.append("Levels came in steps of 8 dB: another program sets the scan, or bluetoothd is one that does so.")
    if m.spread > WIDEST_SPREAD:
        found.append(f"Levels scatter by {m.spread:.0f} dB: let nobody walk between, and keep both boxes still.")
    if abs(m.drift) > MOST_DRIFT:
        found.append(f"The level moved by {abs(m.drift):.0f} dB on the way: keep both boxes still.")
    return found


@dataclass(frozen=True, slots=True)
class Gains:
    """What a box should believe of itself."""

    tx_power: int
    """dBm, as a receiver without fault would reckon it."""
    receive_offset: float
    """dB that this receiver reads too high."""


def gains_among_alike(level: float) -> Gains:
    """Of a box that hears another of the same kind at 1 m with `level` (dBm). Antenna and case take from sending what
    they take from hearing, so each gets half; their sum, which is what counts among such boxes, is exact."""
    surplus = level + Ranging().attenuation_1m
    tx_power = round(surplus / 2)
    return Gains(tx_power, round(surplus - tx_power, 1))


def gains_beside(level: float, reference_tx_power: int, tx_power: int) -> Gains:
    """Of a box that hears a calibrated one, of `reference_tx_power` (dBm), at 1 m with `level` (dBm). Its own power
    stays `tx_power`: only the other can hear that."""
    return Gains(tx_power, round(level + Ranging().attenuation_1m - reference_tx_power, 1))
