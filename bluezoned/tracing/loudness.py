"""How loud this box hears and others send: offsets in dB, learnt from the crowd without labels.

The crowd's offset stays on the box. What others send is told by those who met them and became cases: each a word, of
which the authority publishes the mean. Privacy: docs/proximity.md. Knows neither store, protocol nor clock.

"Crowds" and "acted scenes" are those of tracing/proximity.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

OFFSET_PEERS = 3
"""Peers that weigh as much as the prior (no offset): variance of peers' levels at their unknown distances, about
6 dB squared, over that of offsets, 3.5 dB squared. At 1.5 and at 6 the boundary of simulated crowds is off by 3.2 and
3.1 dB, as with 3; at 0 one lone stranger would shift the scale by his own distance."""

CROWD_QUIET = 0.25
"""Share of a crowd's minutes below the quieter of the two levels midway between which the boundary lies. The two were
chosen for a small error in each of seven kinds of simulated scenes, from a full table to a shop in which one minute in
ten is near: the boundary is off by 3.1 dB, 4.1 in the worst scene; by 5.0 with no crowd. Halved, 3.5 and 4.6; doubled,
3.2 and 5.1."""

CROWD_LOUD = 0.975
"""Share below the louder of the two. With twice as many above, the boundary is off by 3.3 dB, 4.3 in the worst scene;
with half as many by 3.0 and 4.0, but one minute in eighty is one peer's whim."""

CROWD_BOUND = 6.0
"""dB that a crowd can move the boundary, either way: half as much again as the s.d. of a scene. Halved, the boundary of
simulated crowds is off by 3.7 dB instead of 3.1; doubled, by 2.9, but a crowd that keeps its distance, however loud its
members' boxes, would be taken for a near one."""

FEWEST_TOLD = 5
"""Receivers that must have told of a sender before it counts: of fewer the mean would tell what one of them heard. On
simulated crowds five bring two thirds of what all fifteen do (area under the curve .751 with none, .779, .787)."""

TOLD_GRAIN = 2
"""dB to which a receiver rounds its word. It lies within 3 dB of the truth anyway; finer, it would only tell more of
the place where two people met."""

TOLD_BOUND = 12
"""dB that one receiver's word about a peer can count, either way: the whole range from 1 to 4 m. A liar among five
moves the offset by 2 dB. Halved, it cuts honest words too (area under the curve of the acted scenes .895 to .889);
doubled, nothing is gained and a liar moves 3 dB."""

COMPANY = 4
"""Other rolling ids around before this box tells how loud one was: the mean of fewer is their distance. At two, two
strangers decide; at eight, only parties tell."""

LONG_ENOUGH = 5
"""Minutes of company for the same. Of two a passer-by's back decides; at fifteen, few could tell."""


def crowd_offset(crowd: Sequence[Mapping[int, float]]) -> float:
    """dB by which this box, where and as it is carried, hears its crowd too loud.

    `crowd` holds, by start of minute (ms), the excess of each rolling id's smoothed level over the level of 2 m, with
    the assumed transmit power where none is known. It is everyone heard in the place and time in question, in any
    order; an id that rotated counts as it should, since peers are counted by the minute.

    In a crowd some are near and more are far, so that the boundary lies midway between the quiet quarter of the minutes
    and the very loudest. A lone peer tells nothing: 0.0.
    """
    excesses = sorted(excess for peer in crowd for excess in peer.values())
    minutes = len({at for peer in crowd for at in peer})
    if not minutes:
        return 0.0
    others = len(excesses) / minutes - 1
    midway = (_quantile(excesses, CROWD_QUIET) + _quantile(excesses, CROWD_LOUD)) / 2
    offset = midway * others / (others + OFFSET_PEERS)
    return max(-CROWD_BOUND, min(CROWD_BOUND, offset))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def residual(peer: Mapping[int, float], crowd: Sequence[Mapping[int, float]]) -> float:
    """dB by which one peer was louder than the mean of all peers, itself among them: the receiver's own offset cancels.
    Excesses as in `crowd_offset`, `peer` not empty."""
    means = [_mean(other) for other in crowd if other]
    return _mean(peer) - math.fsum(means) / len(means)


def _mean(peer: Mapping[int, float]) -> float:
    return math.fsum(peer.values()) / len(peer)


@dataclass(frozen=True, slots=True)
class Meeting:
    """One peer among all who were heard, in one place and time; excesses as in `crowd_offset`."""

    peer: Mapping[int, float]
    crowd: Sequence[Mapping[int, float]]
    """By rolling id, those of the peer among them."""
    rolling_ids: int = 1
    """How many of the crowd are the peer's own."""


def word(meetings: Iterable[Meeting]) -> int | None:
    """What a receiver tells of a peer: whole grains within the bound (dB); None when it met it in too little company or
    not for long enough."""
    residuals: list[float] = []
    for meeting in meetings:
        if meeting.peer and len(meeting.crowd) - meeting.rolling_ids >= COMPANY:
            residuals += [residual(meeting.peer, meeting.crowd)] * len(meeting.peer)
    if len(residuals) < LONG_ENOUGH:
        return None
    return max(-TOLD_BOUND, min(TOLD_BOUND, TOLD_GRAIN * round(math.fsum(residuals) / len(residuals) / TOLD_GRAIN)))


def transmit_offset(words: Collection[int]) -> int | None:
    """dB that a peer sends louder than others, from the words of those who met it; None as long as they are too few.

    Drawn to 0 as by OFFSET_PEERS receivers that heard nothing unusual; each word is bounded by TOLD_BOUND.
    """
    if len(words) < FEWEST_TOLD:
        return None
    return round(math.fsum(max(-TOLD_BOUND, min(TOLD_BOUND, w)) for w in words) / (len(words) + OFFSET_PEERS))
