"""One-time codes: what they look like, how long they last, how guessing is bounded.

A short code is read over the telephone, a long one is printed or sent. Stored only as a keyed hash.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum

from bluezoned.authority.case import ALPHABET, draw
from bluezoned.protocols.protocol import Random

MINUTE = 60_000
HOUR = 60 * MINUTE

FAILURES_PER_HOUR = 100
"""Wrong short codes that all senders together may try in any hour; further ones are refused unseen until the hour has
passed. With n short codes open at once, a guesser then finds one within a day with a probability of at most
24 * 100 * n / 10^8: 0.24 % for a hundred open codes. Halved, a busy ward's typing errors lock it; doubled, so is the
probability. Long codes (31^16, 79 bits) cannot be guessed and are never locked, so a guesser cannot lock out everybody.
"""


class Kind(Enum):
    """How a code travels from staff to carrier."""

    SHORT = ("0123456789", 8, 15 * MINUTE)
    LONG = (ALPHABET, 16, 24 * HOUR)

    @property
    def lifetime(self) -> int:
        """ms."""
        return self.value[2]

    @property
    def length(self) -> int:
        """Letters."""
        return self.value[1]

    def draw(self, random: Random) -> str:
        """A new code, normalised."""
        letters, count, _ = self.value
        return draw(letters, count, random)


class Problem(Enum):
    """Why an upload is refused: the words that travel in receipts."""

    UNREADABLE = "unreadable"
    CODE_UNKNOWN = "code-unknown"
    CODE_EXPIRED = "code-expired"
    CODE_USED = "code-used"
    CODE_LOCKED = "code-locked"
    CASE_REVOKED = "case-revoked"
    KEYS_INVALID = "keys-invalid"
    NONCE_REUSED = "nonce-reused"


@dataclass(frozen=True, slots=True)
class Code:
    """An issued code as the authority remembers it."""

    digest: bytes
    """32 bytes, see `digest`."""
    case: str
    issued: int
    expires: int
    """ms, excluded."""
    used: int | None = None


def is_short(code: str) -> bool:
    """Whether a normalised code is one that can be guessed."""
    return len(code) < Kind.LONG.length


def digest(code: str, pepper: bytes) -> bytes:
    """What is stored of a normalised code. Keyed, because 10^8 short codes are hashed in a second; looked up by value,
    so that no comparison's time depends on the code."""
    return hmac.digest(pepper, b"bluezoned code" + code.encode(), hashlib.sha256)


def judge(code: Code | None, at: int) -> Problem | None:
    """Why the code does not open the door now, or None."""
    if code is None:
        return Problem.CODE_UNKNOWN
    if code.used is not None:
        return Problem.CODE_USED
    if at >= code.expires:
        return Problem.CODE_EXPIRED
    return None
