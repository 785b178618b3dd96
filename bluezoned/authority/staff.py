"""Who works at an authority, and how guessing at its door is slowed. Knows no database and no page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from bluezoned.authority.verification import HOUR, MINUTE
from bluezoned.errors import AuthorityError

LONGEST_PASSWORD = 200
"""Characters. Argon2 takes any length; a limit keeps a form from being a load."""

SHORTEST_PASSWORD = 10
"""Characters. With a second factor beside it and 100 tries a day, eight would do; ten make people write a phrase."""

FREE_TRIES = 5
"""Wrong passwords or second factors in a row before the first hold. With fewer, a tired nurse is locked out by her own
thumbs; with ten, a guesser of six digits has twice the tries."""

FIRST_HOLD = MINUTE
LONGEST_HOLD = HOUR // 4
"""ms. Each further failure doubles the hold. So a guesser has 101 tries on the first day and 96 on each later one: who
knows the password finds the six digits, of which three are good at a time, with 0.03 % a day. Longer holds would let
anybody who knows a name keep its bearer out for hours."""

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,38}[a-z0-9]")


class Role(Enum):
    """What somebody may do. The table is in docs/authority-checks.md."""

    ISSUER = "issuer"
    """Registers cases and venues, issues codes, revokes."""
    ADMIN = "admin"
    """All that, and staff."""
    AUDITOR = "auditor"
    """Reads everything, changes nothing."""


class Stage(Enum):
    """How far a session has come."""

    PASSWORD = "password"
    """The second factor is missing."""
    ENROL = "enrol"
    """There is no second factor yet; nothing else can be done."""
    FULL = "full"


class StaffProblem(Enum):
    """Why an act on staff cannot be; the portal says it in the reader's language."""

    NAME = "a name has 2 to 40 small letters, digits, dots and dashes"
    NAME_TAKEN = "somebody has that name already"
    PASSWORD_SHORT = f"a password has at least {SHORTEST_PASSWORD} characters"
    PASSWORD_LONG = f"a password has at most {LONGEST_PASSWORD} characters"
    PASSWORD_NAME = "a password must not hold the name"
    PASSWORDS_DIFFER = "the two passwords differ"
    PASSWORD_WRONG = "the password is wrong"
    SETUP_WORD = "that is not the word that `bluezone-authority init` printed"
    SETUP_OVER = "there is an administrator already"
    INVITATION = "there is no such invitation, or it has expired"
    UNKNOWN = "there is nobody of that name"
    LAST_ADMIN = "one administrator must remain"
    TOTP_WRONG = "the six digits are wrong, or were used already"
    PASSKEY_WRONG = "the passkey was not accepted"
    RECOVERY_WRONG = "the recovery code is wrong, or was used already"
    REFUSED = "the name or the password is wrong, or there were too many tries"
    HELD = "too many tries: wait a quarter of an hour"
    LAST_FACTOR = "one second factor must remain"


class StaffError(AuthorityError):
    """What was asked for cannot be."""

    def __init__(self, problem: StaffProblem) -> None:
        super().__init__(problem.value)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Lock:
    """What slows a guesser down, one for each member."""

    failures: int = 0
    """In a row; forgotten when somebody comes all the way in."""
    held_until: int = 0
    """ms."""

    def is_shut(self, at: int) -> bool:
        return at < self.held_until

    def after_try(self, at: int) -> Lock:
        """The lock while a try is being judged, and after it when it fails: counted before, so that a hundred tries at
        once are not a hundred tries."""
        failures = self.failures + 1
        beyond = failures - FREE_TRIES
        # The exponent is bounded, or a patient guesser would make it a number of a thousand digits.
        hold = min(FIRST_HOLD * 2 ** min(beyond, 10), LONGEST_HOLD) if beyond >= 0 else 0
        return Lock(failures, max(self.held_until, at + hold) if hold else self.held_until)


@dataclass(frozen=True, slots=True)
class Member:
    """One of the staff."""

    id: int
    name: str
    role: Role
    handle: bytes
    """16 random bytes that authenticators know the member by."""
    password: str | None
    """Argon2 hash; None until the invitation is accepted."""
    totp: bytes | None
    """Sealed secret."""
    totp_step: int
    """The newest 30 s step whose digits were used; none at or before it is taken again."""
    passkeys: int
    """How many."""
    recovery_codes: int
    """How many are left."""
    lock: Lock
    invited_until: int | None
    """ms; None when there is no invitation."""
    disabled: int | None
    """ms."""

    @property
    def has_second_factor(self) -> bool:
        return self.totp is not None or self.passkeys > 0


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is named in the audit log."""

    name: str
    """A member's; `command line` for the machine's operator."""


OPERATOR = Actor("command line")


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that has shown a password."""

    digest: bytes
    member: Member
    stage: Stage
    started: int
    seen: int
    """ms."""
    challenge: str | None
    """What a second factor that is being shown or set up must answer."""


def require_name(name: str) -> None:
    """StaffError unless somebody may be called that."""
    if not _NAME.fullmatch(name):
        raise StaffError(StaffProblem.NAME)


def require_password(password: str, name: str) -> None:
    """StaffError unless the password will do for that member."""
    if len(password) < SHORTEST_PASSWORD:
        raise StaffError(StaffProblem.PASSWORD_SHORT)
    if len(password) > LONGEST_PASSWORD:
        raise StaffError(StaffProblem.PASSWORD_LONG)
    if name in password.lower():
        raise StaffError(StaffProblem.PASSWORD_NAME)
