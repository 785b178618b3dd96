"""Windows of keys: when one of our own is used, how it is published, what a published one may claim.

Rules that the three protocols share; knows none of them by name.
"""

from __future__ import annotations

from bluezoned.errors import ProtocolError
from bluezoned.protocols.protocol import DAY, DailyKey, DiagnosisKey

GRID = 600_000
"""ms. Key exports count in intervals of ten minutes (GAEN `rolling_start_interval_number`), for every protocol."""

LONGEST_CHAIN = 15 * DAY
"""ms. Fourteen days and the last rotation is the longest window that a published app asked for; a signed file that
claims more would otherwise cost as many hashes as it likes."""


def require_use(start: int, end: int, rotation: int) -> None:
    """ValueError unless [start, end) lies in one UTC day and begins and ends where a rotation does."""
    if start % rotation or end % rotation:
        raise ValueError(f"a key's window must begin and end on a rotation of {rotation} ms")
    if not 0 <= start < end <= start - start % DAY + DAY:
        raise ValueError("a key's window must lie within one UTC day")


def require_within(key: DailyKey, at: int) -> None:
    """ValueError unless the key is in use at `at`: a rolling id outside its window would match nobody."""
    if not key.start <= at < key.end:
        raise ValueError("the key is not in use at this instant")


def published(key: DailyKey, until: int, rotation: int) -> tuple[int, int]:
    """Start and end to publish: cut at the end of the rotation that `until` falls into, then widened to the grid.

    The widening loses nothing and adds nothing: it is shorter than a rotation, and `expand` counts whole rotations
    only. ValueError when the key was not in use before `until`.
    """
    end = min(key.end, until + -until % rotation)
    if end <= key.start:
        raise ValueError("the key was not yet in use: there is nothing to publish")
    return key.start - key.start % GRID, end + -end % GRID


def require_published(key: DiagnosisKey, protocol: str, key_size: int, longest: int) -> None:
    """ProtocolError unless the key is of this protocol and size, on the grid, and its window no longer than `longest`
    (ms)."""
    if key.protocol != protocol:
        raise ProtocolError(f"a key of another protocol was handed to {protocol}")
    if len(key.secret) != key_size:
        raise ProtocolError(f"a key of {len(key.secret)} bytes; {protocol} has {key_size}")
    if key.start % GRID or key.end % GRID:
        raise ProtocolError("a key's window is not on the grid of ten minutes")
    if not 0 <= key.start < key.end <= key.start + longest:
        raise ProtocolError(f"a key's window is empty or longer than {longest} ms")
