"""A case: why somebody may publish, and at which tier. Holds nothing that names a person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bluezoned.errors import AuthorityError
from bluezoned.protocols.protocol import DAY, Random, Tier

ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""31 letters and digits that nobody confuses when reading aloud: no I, L, O, 0, 1."""


class CaseProblem(Enum):
    """Why an act on cases cannot be; the portal says it in the reader's language."""

    TIER = "only an F0 (confirmed) or an F1 (met an F0) publishes keys"
    SOURCE = "an F1 names the case that it met as its source, an F0 names none"
    ONSET = "the onset of symptoms must lie in the last 60 days"
    UNKNOWN = "there is no such case"
    REVOKED = "the case is revoked"
    REFERENCE = "a reference has at most 32 letters a to z, digits, spaces and . _ / -; first a letter or digit"
    REFERENCE_PERSONAL = "nine digits or more look like a telephone or identity number: use a file number"
    TESTED = "the day of the test must lie in the last 60 days"
    VENUE = "there is no such venue"
    VENUE_NAME = "a venue's name has 2 to 60 characters"
    VENUE_NAME_TAKEN = "there is a venue of that name already"
    WINDOW = "the time must begin and end on a full or half hour, in the last 14 days, the end after the beginning"
    VENUE_CODE = "an outbreak at a venue needs its own code: mark it again"


class CaseError(AuthorityError):
    """What staff asked for cannot be; the sentence says why."""

    def __init__(self, problem: CaseProblem) -> None:
        super().__init__(problem.value)
        self.problem = problem


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
