"""Whether a box can have used the keys that it sends. Judges windows alone; knows nothing of codes and cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from bluezoned.errors import ProtocolError
from bluezoned.opaque import Opaque
from bluezoned.protocols import registry
from bluezoned.protocols.dp3t import Dp3t
from bluezoned.protocols.protocol import DAY, DiagnosisKey

LONGEST_AGE = 14 * DAY
"""ms since the end of a key's use. Boxes compare 14 days, so an older key would be matched by nobody."""

CLOCK_ERROR = 2 * 3_600_000
"""ms that a box's clock may run ahead. Its present key may end up to one rotation from now; more is made up."""

MOST_PER_DAY = 4
"""Keys whose windows begin on one day: a publication cuts a day's key in two, three publications make four."""

MOST_AT_ONCE = 2
"""Keys of one instant. A box has one at a time; two neighbours share up to ten minutes once they are widened to the
grid of exports, and a clock that was put back makes a second. Three are the keys of several boxes."""


def recent(keys: Sequence[DiagnosisKey], at: int) -> tuple[DiagnosisKey, ...]:
    """Those that somebody may still match. A box seals its keys when its carrier agrees, and the message may travel for
    a day: what has grown too old on the way is left out rather than the whole upload refused."""
    return tuple(key for key in keys if key.end > at - LONGEST_AGE)


def are_plausible(keys: Sequence[DiagnosisKey], at: int) -> bool:
    """Whether one box can have used these keys until `at`. Never of none."""
    if not keys or len({bytes(key.secret) for key in keys}) != len(keys):
        return False
    if max(Counter(key.start // DAY for key in keys).values()) > MOST_PER_DAY:
        return False
    # DP-3T publishes whole days, so that two keys of one day always cover one another.
    parted = [key for key in keys if key.protocol != Dp3t.name]
    return _most_at_once(parted) <= MOST_AT_ONCE and all(_is_plausible(key, at) for key in keys)


def _most_at_once(keys: Sequence[DiagnosisKey]) -> int:
    # At one instant ends come first: windows are half-open.
    edges = sorted([(key.start, 1) for key in keys] + [(key.end, -1) for key in keys])
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def _is_plausible(key: DiagnosisKey, at: int) -> bool:
    ahead = at + CLOCK_ERROR
    # A DP-3T key is published with its whole day, which may have hours to go.
    latest = ahead - ahead % DAY + DAY if key.protocol == Dp3t.name else ahead
    if len(key.secret) != registry.by_name(key.protocol).key_size:
        return False
    if key.start > ahead or key.end > latest or key.start // DAY != (key.end - 1) // DAY:
        return False
    return holds_identifiers(key.protocol, key.start, key.end)


@lru_cache(maxsize=4096)
def holds_identifiers(protocol: str, start: int, end: int) -> bool:
    """Whether a key of this window has at least one identifier, and none outside it. Windows do not depend on the
    secret, most uploads have the same days, and to derive fourteen days of identifiers takes longer than all else."""
    spoken = registry.by_name(protocol)
    try:
        windows = spoken.expand(DiagnosisKey(protocol, Opaque(bytes(spoken.key_size)), start, end))
    except ProtocolError:
        return False
    # A DP-3T key that claims less than its day would leave the embargo before its ids are out of use.
    return bool(windows) and all(start <= window.start and window.end <= end for window in windows)
