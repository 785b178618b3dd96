"""A case: why somebody may publish, and at which tier. Holds nothing that names a person."""

from __future__ import annotations

from dataclasses import dataclass

from bluezoned.errors import AuthorityError
from bluezoned.protocols.protocol import DAY, Random, Tier

ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""31 letters and digits that nobody confuses when reading aloud: no I, L, O, 0, 1."""


class CaseError(AuthorityError):
    """What staff asked for cannot be; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Case:
    """One confirmed case (F0), or one contact who agreed to warn others (F1)."""

    id: str
    """`C-` and eight letters, random: it tells neither order nor number."""
    tier: Tier
    source: str | None
    """The case whose contact this one is, for F1; its revocation takes this one along."""
    onset: int | None
    """Day since 1970 UTC of the first symptoms; None where there are none or they are unknown."""
    opened: int
    """ms."""
    revoked: int | None = None
    """ms."""

    def days_since_onset(self, start: int) -> int | None:
        """Of a key in use from `start` (ms); None where unknown or beyond 14 days, which exports cannot say."""
        if self.onset is None:
            return None
        days = start // DAY - self.onset
        return days if -14 <= days <= 14 else None


def draw(letters: str, count: int, random: Random) -> str:
    """`count` letters, each as likely as the others."""
    drawn: list[str] = []
    most = 256 - 256 % len(letters)
    while len(drawn) < count:
        # Bytes beyond the last whole multiple are thrown away, or the first letters would be likelier.
        drawn += [letters[byte % len(letters)] for byte in random(2 * count) if byte < most]
    return "".join(drawn[:count])


def new_id(random: Random) -> str:
    return "C-" + draw(ALPHABET, 8, random)
