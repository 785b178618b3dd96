"""One rolling id heard once: a Reception that a protocol could read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bluezoned.advertisement import Reception
from bluezoned.protocols.protocol import Payload, TracingProtocol

PLAUSIBLE_RSSI = range(-126, 21)
"""dBm that a receiver can have measured: 127 means "not available" and -127 "no value" (Core 5.4, vol 4, part E,
7.7.65.2; BlueZ), and a sentinel must never enter an average."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A rolling id, how loud and when."""

    protocol: str
    payload: Payload
    rssi: int
    """dBm."""
    at: int
    """ms UTC."""


def sight(reception: Reception, protocols: Iterable[TracingProtocol]) -> Sighting | None:
    """What the first protocol that knows this advertisement reads in it; None when none does."""
    if reception.rssi not in PLAUSIBLE_RSSI:
        return None
    for protocol in protocols:
        payload = protocol.read(reception.advertisement)
        if payload is not None:
            return Sighting(protocol.name, payload, reception.rssi, reception.at)
    return None
