"""From levels to "within 2 m", every term in dB and additive; never metres, because a level says too little.

Holds the summary of one minute and the minutes near; tracing/loudness holds the offsets that a crowd tells. Neither
knows store, protocol or clock.

    excess = smoothed level - level of the boundary
    near   = excess - crowd offset (learnt alone) - transmit offset (told after a match) > 0

What was fitted was fitted on rpi_dean and rpi_winner (DeanZ3/piPACT, Winner-exe/piPACT: two Pi 4), pcng
(pc-ng/rss_smartphone), mit_matrix (mitll/MIT-Matrix-Data) and herald (theheraldproject/herald-analysis), called the
open recordings below, all sets weighing alike. "Crowds" are simulated: trains, tables, offices, parties, queues and
shops of 8 to 20 people with offsets of 3.5 dB s.d. each way and a scene offset of 4 dB. On the acted scenes of DP-3T
and on MITRE-Range-Angle-Structured nothing was fitted: they measure. "Cost" is P(miss) + P(false alarm).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

MINUTE = 60_000
"""ms. Levels are summed up per whole minute: single packets scatter by 3 to 6 dB at a fixed distance."""

STRENGTH = 2.0
"""Power of the milliwatts whose mean is a minute's level. Fading takes away far more than it adds, so that the strong
packets tell the distance: area under the curve of a minute on the open recordings .682 with the mean in dB, .703 at
half (the mean of the milliwatts), .708 here, .710 at twice, where a minute of few packets reads 2 dB lower than one of
many; each of the five sets gains at each step from .682 to .708. Always without the strongest packet (see FEW)."""

FEW = 8
"""Packets of a minute from which on the strongest is left out. Receivers now and then report one packet 15 to 25 dB
too loud; in a minute of 50 it alone would lift the level by 7 to 12 dB. On the open recordings the area under the curve
is .701 with it and .708 without. At 4 a minute of sparse scans loses what it needs; at 16 those of slow beacons keep
their faulty packets."""


def strengths(power: float) -> tuple[float, ...]:
    """What a packet adds to its minute, by RSSI + 127: a table, because a power costs more than all the rest of
    `MinuteSums.add`."""
    return tuple(10.0 ** (power * rssi / 10) for rssi in range(-127, 21))


_STRENGTHS = strengths(STRENGTH)


@dataclass(frozen=True, slots=True)
class Minute:
    """What was heard of one rolling id in one minute."""

    at: int
    """ms UTC, start of the minute."""
    packets: int
    mean: float
    """dBm, mean of the packets' RSSI in dB: what GAEN calls typical attenuation."""
    strongest: int
    """dBm."""
    power: float
    """dBm, the level that tells the distance: root of the mean square of the packets' power (STRENGTH), without the
    strongest (FEW)."""


class MinuteSums:
    """Running sums of one minute: five numbers instead of the packets."""

    __slots__ = ("packets", "strength", "strongest", "total")

    def __init__(self) -> None:
        self.packets = 0
        self.total = 0
        self.strongest = -127
        self.strength = 0.0

    def add(self, rssi: int) -> None:
        """One packet; `rssi` in dBm, -127..20, guaranteed by the sighting."""
        self.packets += 1
        self.total += rssi
        self.strength += _STRENGTHS[rssi + 127]
        self.strongest = max(self.strongest, rssi)

    def summary(self, at: int) -> Minute:
        """The minute that starts at `at` (ms). At least one packet must have been added."""
        mean, strength, counted = self.total / self.packets, self.strength, self.packets
        if counted >= FEW:
            strength, counted = strength - _STRENGTHS[self.strongest + 127], counted - 1
        # What subtraction leaves of a minute of one loud packet among faint ones may be rounding alone.
        strength = max(strength, counted * _STRENGTHS[0])
        return Minute(at, self.packets, mean, self.strongest, _level(strength / counted))


def _level(strength: float) -> float:
    return 10 / STRENGTH * math.log10(strength)


def join(one: Minute, other: Minute) -> Minute:
    """One minute of a peer that was heard under two rolling ids, because it changed its id in that minute."""
    packets = one.packets + other.packets
    share = other.packets / packets
    strength = (1 - share) * 10 ** (STRENGTH * one.power / 10) + share * 10 ** (STRENGTH * other.power / 10)
    return Minute(
        one.at,
        packets,
        (1 - share) * one.mean + share * other.mean,
        max(one.strongest, other.strongest),
        _level(strength),
    )


@dataclass(frozen=True, slots=True)
class Ranging:
    """How this box turns a level into attenuation."""

    attenuation_1m: float = 41.0
    """dB between transmit power and mean RSSI (in dB) at 1 m in the open. 41 is free space at 2.44 GHz with isotropic
    antennas (20 log10(4 pi d f / c) = 40.2) and a little loss; the same board differs by up to 20 dB between cases
    and rooms, so calibrate."""
    receive_offset: float = 0.0
    """dB that this receiver reads too high, from its calibration."""
    assumed_tx_power: int = 0
    """dBm taken for a peer that says none, and for every peer as long as there is no match."""


BOUNDARY = -1.5
"""dB from the mean RSSI at 1 m to a minute's level at 2 m. Free space says -6, and the strong packets lie 3 to 5 dB
above the mean in dB. The fit on the open recordings (balanced logistic) says -0.6 with all their packets (45 to 230 a
minute; with one set left out -1.7 to 0.4), -1.5 with 24 of each minute, -2.5 with 8, -1.4 with 5."""

SCATTER = 10.0
"""dB, scale of the logistic of one minute without any offset known: geometric mean of the sets' own fits (rpi_dean 4,
herald 8, pcng 11, rpi_winner 14, mit_matrix 19: carriage makes the difference). It orders nothing; halved, a minute
6 dB inside claims .77 where .65 is true, doubled .57."""

SHARED_SPREAD = 7.0
"""dB s.d. of what all minutes of a pair have in common: bodies, carriage, rooms, calibration. Median over the open
recordings of the scatter of a session's level around its set's line (5.4 to 9.7)."""

SHARED_SPREAD_TOLD = 4.0
"""dB s.d. of the same once the crowd has told both offsets: what is left of 7 without 3.5 dB in each of the receiver,
the transmitter and the scene (7^2 - 3 * 3.5^2 = 3.5^2, rounded up)."""

OWN_SCATTER = 1.0
"""dB, scale of the logistic of what is a smoothed minute's own. Half a dozen packets of 4 dB, smoothed over five
minutes, leave 0.8 dB s.d.; movement within a minute as much again. Doubled, far peers gather minutes by sheer
patience: cost of the rule of fifteen minutes in acted scenes .26 to .35; halved, no change."""

KERNEL = (1.0, 2.0, 3.0, 2.0, 1.0)
"""Weights of the minutes -2..+2 in a smoothed level. People stay for minutes: without smoothing the area under the
curve of the acted scenes falls from .895 to .879; twice as wide, that of simulated crowds from .786 to .768."""

BRIDGED = 2
"""Minutes of silence between two heard minutes that count as heard; the kernel must reach over them. From 0 to 4 no
figure on continuous scans moves by more than .02; a scanner that hears every third minute needs 2, and at 4 someone who
left for a coffee has stayed."""


def boundary_level(tx_power: float | None, ranging: Ranging) -> float:
    """dBm of mean power that a peer at 2 m is expected to give this box."""
    sent = ranging.assumed_tx_power if tx_power is None else tx_power
    return sent - ranging.attenuation_1m + ranging.receive_offset + BOUNDARY


def smooth(minutes: Iterable[Minute]) -> dict[int, float]:
    """Level (dBm) by start of minute (ms) of one peer: one entry per heard minute and per bridged one.

    Up to BRIDGED minutes without packets between two heard ones take the level of their neighbours: scans pause for
    seconds, bodies block for a while, and neither is absence.
    """
    heard = {minute.at: minute.power for minute in minutes}
    levels: dict[int, float] = {}
    before: int | None = None
    for at in sorted(heard):
        if before is not None and at - before <= (BRIDGED + 1) * MINUTE:
            for missing in range(before + MINUTE, at, MINUTE):
                levels[missing] = _weighted(heard, missing)
        levels[at] = _weighted(heard, at)
        before = at
    return levels


def _weighted(heard: Mapping[int, float], middle: int) -> float:
    total = weights = 0.0
    for step, weight in enumerate(KERNEL, -(len(KERNEL) // 2)):
        level = heard.get(middle + step * MINUTE)
        if level is not None:
            total += weight * level
            weights += weight
    return total / weights


def excesses(minutes: Iterable[Minute], tx_power: float | None, ranging: Ranging) -> dict[int, float]:
    """dB by which each heard or bridged minute of one peer lies above the boundary, by start (ms)."""
    boundary = boundary_level(tx_power, ranging)
    return {at: level - boundary for at, level in smooth(minutes).items()}


def is_near(minutes: Sequence[Minute], ranging: Ranging) -> bool:
    """Whether one of them is more probably within 2 m than not."""
    # Smoothing averages, so who was never loud enough need not be smoothed: in a crowd that is nearly everybody.
    loudest = max(minute.power for minute in minutes)
    return loudest >= boundary_level(None, ranging) and max(excesses(minutes, None, ranging).values()) >= 0


def _logistic(excess: float, scale: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, excess / scale))))


def near_probability(excess: float) -> float:
    """P(median distance of the minute <= 2 m), near and far taken as equally likely beforehand. `excess` in dB above
    the boundary. The calibrated word on one minute; not to be summed over minutes (see `near_share`)."""
    return _logistic(excess, SCATTER)


def near_share(excess: float) -> float:
    """Share of the minute to count as near, 0..1.

    Most of a pair's error is shared by all its minutes, so that it does not average out: expected minutes would grow
    for every peer who stays long, however far. Minutes rise with the shared error, so their median is the minutes at
    the median error, and only what is the minute's own blurs the edge.
    """
    return _logistic(excess, OWN_SCATTER)


@dataclass(frozen=True, slots=True)
class NearTime:
    """Minutes within 2 m: the median, and the range that holds the truth two times in three."""

    minutes: float
    low: float
    high: float


def near_time(excesses: Collection[float], spread: float = SHARED_SPREAD) -> NearTime:
    """Minutes near, from the excess (dB) of each minute of one peer; `spread` is the shared error (dB s.d.)."""

    def shifted(error: float) -> float:
        return math.fsum(near_share(excess + error) for excess in excesses)

    return NearTime(shifted(0.0), shifted(-spread), shifted(spread))
