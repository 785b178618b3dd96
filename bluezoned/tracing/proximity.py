"""From levels to "within 2 m": every term in dB, never metres, because a packet's level says too little.

Holds the summary of one minute and the estimate made of it. Knows neither store nor protocol.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MINUTE = 60_000
"""ms. Levels are summed up per whole minute: single packets scatter by 7 to 9 dB at a fixed distance."""


@dataclass(frozen=True, slots=True)
class Minute:
    """What was heard of one rolling id in one minute."""

    at: int
    """ms UTC, start of the minute."""
    packets: int
    mean: float
    """dBm, mean of the packets' RSSI: averaged in dB, as attenuation stays additive there."""
    strongest: int
    """dBm."""


@dataclass(frozen=True, slots=True)
class Ranging:
    """How this box turns attenuation into nearness."""

    attenuation_1m: float = 41.0
    """dB between transmit power and mean level at 1 m in the open. 41 is free space at 2.44 GHz with isotropic
    antennas (20 log10(4 pi d f / c) = 40.2) and a little loss; the same board differs by up to 20 dB between cases
    and rooms, so calibrate."""
    receive_offset: float = 0.0
    """dB that this receiver reads too high."""
    assumed_tx_power: int = 0
    """dBm taken for a peer that says none (a phone with the published app)."""


STEP_2M = 5.0
"""dB that the level falls from 1 m to the boundary at 2 m. The free-space law says 6; the recordings of two Pi 4
agree best with 5 (balanced accuracy .73 on rpi_dean and rpi_winner; at 2 or 10 it falls to about .65)."""

SCATTER = 4.0
"""dB, scale of the logistic: a minute's mean scatters by about 4 dB around the value of its distance. Halved, a
minute 5 dB off the boundary is taken as certain when it is wrong one time in five; doubled, no minute is sure."""


def near_probability(attenuation: float, ranging: Ranging) -> float:
    """P(median distance of the minute <= 2 m), 0..1, from the attenuation (dB) of its mean level."""
    excess = (ranging.attenuation_1m + STEP_2M - attenuation) / SCATTER
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, excess))))


def attenuation(minute: Minute, tx_power: int | None, ranging: Ranging) -> float:
    """dB lost on the way, own receive offset removed."""
    sent = ranging.assumed_tx_power if tx_power is None else tx_power
    return sent - (minute.mean - ranging.receive_offset)


def minutes_near(minutes: Sequence[Minute], tx_power: int | None, ranging: Ranging) -> dict[int, float]:
    """P(near) for each minute of one peer, by start of minute (ms).

    `minutes` in order, of one peer, gaps allowed. One missing minute between two heard ones takes their mean: a
    scan has gaps, and a gap is not absence.
    """
    near = {m.at: near_probability(attenuation(m, tx_power, ranging), ranging) for m in minutes}
    for before in minutes:
        missing, after = before.at + MINUTE, before.at + 2 * MINUTE
        if missing not in near and after in near:
            near[missing] = (near[before.at] + near[after]) / 2
    return near
