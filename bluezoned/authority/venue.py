"""A place with a box that stands there, and the hours in which an infection may have spread there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bluezoned.authority.case import CaseError, CaseProblem
from bluezoned.errors import ProtocolError
from bluezoned.protocols import registry
from bluezoned.protocols.dp3t import Dp3t
from bluezoned.protocols.protocol import DAY, DiagnosisKey

GRID = 1_800_000
"""ms. Half hours: the rotations of Bluezone (15 min) and of GAEN (10 min) both divide them, so that a window cuts
between two identifiers and not through one."""


@dataclass(frozen=True, slots=True)
class Venue:
    """A place; never a person."""

    id: int
    name: str
    added: int
    """ms."""


@dataclass(frozen=True, slots=True)
class Hours:
    """When a place was an outbreak; half-open, ms."""

    start: int
    end: int


def require_name(name: str) -> None:
    """CaseError unless a venue may be called that."""
    if not 2 <= len(name) <= 60 or not name.isprintable():
        raise CaseError(CaseProblem.VENUE_NAME)


def require_hours(hours: Hours, at: int) -> None:
    """CaseError unless somebody can still be warned of them. The last half hour may be running."""
    if hours.start % GRID or hours.end % GRID or not at - 14 * DAY <= hours.start < hours.end <= at + GRID:
        raise CaseError(CaseProblem.WINDOW)


def within(keys: Sequence[DiagnosisKey], hours: Hours) -> tuple[DiagnosisKey, ...]:
    """What of the keys was on the air in these hours: keys of other hours are left out, those at the edge cut. A DP-3T
    key cannot be cut and tells its whole day, so it must lie inside."""
    cut = [
        replace(key, start=max(key.start, hours.start), end=min(key.end, hours.end))
        for key in keys
        if key.start < hours.end and key.end > hours.start
    ]
    whole = {(bytes(key.secret), key.start, key.end) for key in keys}
    return tuple(
        key
        for key in cut
        if (key.protocol != Dp3t.name or (bytes(key.secret), key.start, key.end) in whole) and _is_used(key)
    )


def _is_used(key: DiagnosisKey) -> bool:
    """Whether a whole identifier remains."""
    try:
        return bool(registry.by_name(key.protocol).expand(key))
    except ProtocolError:
        return False
