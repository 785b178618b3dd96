"""The shipped estimator in the form that a proximity benchmark calls: thin adapters, no arithmetic of their own.

window, session: one pair, nobody to learn from. batch_alone: each receiver learns from its own crowd and is told
nothing. batch: those who met a sender told how loud they heard it, when they became cases and uploaded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bluezoned.tracing import loudness, proximity

Window = Mapping[str, Any]
"""session, rx, tx (opaque), k (number of the minute), rssi (dBm), tx_power (expected RSSI at 1 m, dBm): from JSON or a
data frame, hence Any."""

BARE = proximity.Ranging(attenuation_1m=0.0)
"""The benchmark's tx_power is the level at 1 m already."""


def minute(number: int, rssi: Iterable[float]) -> proximity.Minute:
    sums = proximity.MinuteSums()
    for level in rssi:
        sums.add(max(-127, min(20, round(level))))
    return sums.summary(number * proximity.MINUTE)


def share(peer: Mapping[int, float], number: int, offset: float = 0.0) -> float:
    """0.0 for a minute that is neither heard nor bridged."""
    excess = peer.get(number * proximity.MINUTE)
    return 0.0 if excess is None else proximity.near_share(excess - offset)


def window(rssi: Sequence[float], t: Sequence[float], tx_power: float) -> float:
    return proximity.near_probability(proximity.excesses([minute(0, rssi)], tx_power, BARE)[0])


def session(windows: Sequence[tuple[Sequence[float], Sequence[float]]], tx_power: float) -> list[float]:
    heard = (minute(k, rssi) for k, (rssi, _) in enumerate(windows) if len(rssi))
    peer = proximity.excesses(heard, tx_power, BARE)
    return [share(peer, k) for k in range(len(windows))]


Crowds = dict[str, dict[str, dict[int, float]]]
"""Excess by receiver, sender and start of minute."""


def meet(windows: Iterable[Window]) -> Crowds:
    minutes: dict[tuple[str, str, float], list[proximity.Minute]] = defaultdict(list)
    for w in windows:
        if len(w["rssi"]):
            minutes[w["rx"], w["tx"], w["tx_power"]].append(minute(w["k"], w["rssi"]))
    crowds: Crowds = defaultdict(dict)
    for (rx, tx, tx_power), heard in minutes.items():
        crowds[rx][tx] = proximity.excesses(heard, tx_power, BARE)
    return crowds


def transmit_offsets(crowds: Crowds) -> dict[str, int]:
    """Everybody tells, under a code of their own."""
    words: dict[str, list[int]] = defaultdict(list)
    for crowd in crowds.values():
        everybody = list(crowd.values())
        for tx, peer in crowd.items():
            if (word := loudness.word([loudness.Meeting(peer, everybody)])) is not None:
                words[tx].append(word)
    return {tx: loudness.transmit_offset(told) or 0 for tx, told in words.items()}


def shares(windows: Sequence[Window], crowds: Crowds, sent: Mapping[str, float]) -> list[float]:
    heard = {rx: loudness.crowd_offset(list(crowd.values())) for rx, crowd in crowds.items()}
    return [
        share(crowds[w["rx"]].get(w["tx"], {}), w["k"], heard.get(w["rx"], 0.0) + sent.get(w["tx"], 0.0))
        for w in windows
    ]


def batch_alone(windows: Sequence[Window]) -> list[float]:
    return shares(windows, meet(windows), {})


def batch(windows: Sequence[Window]) -> list[float]:
    crowds = meet(windows)
    return shares(windows, crowds, transmit_offsets(crowds))
