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

PER_HOUR = 100
PER_DAY = 400
"""Wrong short codes that all senders together may try in any hour and in any 24; there is no telling senders apart.
With n short codes open at once, a guesser finds one within a day with a probability of at most 400 n / 10^8: 0.04 % for
a hundred open codes. Halved, a busy ward's typing errors lock it; doubled, so is the probability. Long codes (31^16,
79 bits) cannot be guessed and are never refused, so that a guesser cannot lock out everybody.
"""

FIRST_HOLD = HOUR
LONGEST_HOLD = 24 * HOUR
"""ms. A limit that is reached closes the door, each time for twice as long: who guesses on gets 100 tries a day."""

FORGIVEN_AFTER = 7 * 24 * HOUR
"""ms of peace after which the first hold is the next again."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What keeps guessers of short codes out."""

    strikes: int = 0
    """How often a limit was reached without a week of peace between."""
    held_until: int = 0
    """ms; until then every short code is refused unseen."""

    def is_shut(self, at: int, last_day: int) -> bool:
        """`last_day`: wrong short codes of the last 24 hours."""
        return at < self.held_until or last_day >= PER_DAY

    def after_failure(self, at: int, last_hour: int, last_day: int) -> Guard:
        """The guard after one more wrong short code, which both counts include."""
        if last_hour < PER_HOUR and last_day < PER_DAY:
            return self
        strikes = 0 if at >= self.held_until + FORGIVEN_AFTER else self.strikes
        hold = min(FIRST_HOLD * 2**strikes, LONGEST_HOLD)
        # Never shorter than it was: the clock may have been put back.
        return Guard(strikes + 1, max(self.held_until, at + hold))


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

    def state(self, at: int) -> str:
        """`used`, `expired` or `issued`."""
        return "used" if self.used is not None else "expired" if at >= self.expires else "issued"


def is_short(code: str) -> bool:
    """Whether a normalised code is one that can be guessed."""
    return len(code) < Kind.LONG.length


def digest(code: str, pepper: bytes) -> bytes:
    """What is stored of a normalised code. Keyed, because 10^8 short codes are hashed in a second; looked up by value,
    so that no comparison's time depends on the code."""
    return hmac.digest(pepper, b"bluezoned code" + code.encode(), hashlib.sha256)


def judge(code: Code, at: int) -> Problem | None:
    """Why the code does not open the door now, or None."""
    if code.used is not None:
        return Problem.CODE_USED
    if at >= code.expires:
        return Problem.CODE_EXPIRED
    return None
