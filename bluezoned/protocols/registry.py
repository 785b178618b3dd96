"""The protocols by their names, as configuration and key exports write them."""

from __future__ import annotations

from bluezoned.errors import ProtocolError
from bluezoned.protocols.bluezone import Bluezone, KeySchedule
from bluezoned.protocols.dp3t import Dp3t
from bluezoned.protocols.gaen import Gaen
from bluezoned.protocols.protocol import TracingProtocol

NAMES = (Bluezone.name, Gaen.name, Dp3t.name)


def by_name(name: str, key_schedule: KeySchedule = KeySchedule.INDEPENDENT) -> TracingProtocol:
    """The protocol; `key_schedule` is Bluezone's alone. ProtocolError when there is none of that name."""
    match name:
        case Bluezone.name:
            return Bluezone(key_schedule)
        case Gaen.name:
            return Gaen()
        case Dp3t.name:
            return Dp3t()
    raise ProtocolError(f"unknown protocol; known are {', '.join(NAMES)}")
