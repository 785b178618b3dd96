"""What happens, step by step, and what everybody's light must show at the end of each act.

Data alone: who is where and when, in ms UTC of the simulated days.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bluezoned.protocols.protocol import DAY

MINUTE = 60_000
HOUR = 60 * MINUTE

DAY_1 = 20_759 * DAY
"""2026-11-02 00:00 UTC, a Monday."""

NAMES = ("a", "b", "c", "d")
WHO = {
    "a": "A, who will fall ill",
    "b": "B, who sits with A",
    "c": "C, who sits with B",
    "d": "D, at 3 m from all",
}

OWN_CASE, F1, F2, DARK = "OWN_CASE", "F1", "F2", "dark"

START = DAY_1 + 8 * HOUR


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two boxes near one another for a while, each hearing the other as a recording says."""

    one: str
    other: str
    start: int
    end: int
    near: bool


EARLY = (DAY_1 + 8 * HOUR + 30 * MINUTE, DAY_1 + 8 * HOUR + 38 * MINUTE)
MORNING = (DAY_1 + 9 * HOUR, DAY_1 + 9 * HOUR + 20 * MINUTE)
LATER = (DAY_1 + 10 * HOUR + 20 * MINUTE, DAY_1 + 10 * HOUR + 40 * MINUTE)

MEETINGS = (
    Meeting("a", "c", *EARLY, near=True),
    Meeting("a", "b", *MORNING, near=True),
    Meeting("b", "c", *LATER, near=True),
    Meeting("a", "d", *MORNING, near=False),
    Meeting("b", "d", MORNING[0], LATER[1], near=False),
    Meeting("c", "d", *LATER, near=False),
)


@dataclass(frozen=True, slots=True)
class Advance:
    """Time passes."""

    to: int


@dataclass(frozen=True, slots=True)
class Say:
    """A line for the audience."""

    text: str


@dataclass(frozen=True, slots=True)
class SyncAll:
    """Every box's sync timer fires."""


@dataclass(frozen=True, slots=True)
class OpenCase:
    """The authority registers a case for the carrier of `box`, near the carrier of `source` where it is an F1."""

    box: str
    tier: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """Staff issues a code, the carrier agrees to publish, and sync takes it out."""

    box: str


@dataclass(frozen=True, slots=True)
class Revoke:
    """The authority takes back the case of `box` and all that followed from it."""

    box: str


@dataclass(frozen=True, slots=True)
class Expect:
    """What each light must show now."""

    act: str
    lights: dict[str, str] = field(hash=False)


Step = Advance | Say | SyncAll | OpenCase | Consent | Revoke | Expect


def _through(start: int, end: int, stride: int) -> list[Step]:
    return [Advance(min(at, end)) for at in range(start + stride, end + stride, stride)]


DAY_2, DAY_3 = DAY_1 + DAY, DAY_1 + 2 * DAY

STEPS: tuple[Step, ...] = (
    Say("Monday morning. Four people put on their boxes; nobody is known to be ill."),
    Advance(START + 2 * MINUTE),
    SyncAll(),
    *_through(START + 2 * MINUTE, EARLY[0], HOUR),
    Say("A and C stand together for eight minutes: near, and too short to count."),
    *_through(*EARLY, MINUTE),
    *_through(EARLY[1], MORNING[0], HOUR),
    Say("A and B sit together, within 1.5 m. D sits in the same room, 3 m and more away."),
    *_through(*MORNING, MINUTE),
    *_through(MORNING[1], LATER[0], 20 * MINUTE),
    Say("B and C sit together, within 1.5 m. D is 3 m and more away again."),
    *_through(*LATER, MINUTE),
    *_through(LATER[1], DAY_1 + 18 * HOUR, 2 * HOUR),
    Expect("Monday evening", {"a": DARK, "b": DARK, "c": DARK, "d": DARK}),
    *_through(DAY_1 + 18 * HOUR, DAY_2 + 9 * HOUR, 3 * HOUR),
    Say("A's test is positive. The health authority opens a case and gives A a code."),
    OpenCase("a", "F0"),
    Consent("a"),
    Advance(DAY_2 + 9 * HOUR + 5 * MINUTE),
    Expect("A has consented", {"a": OWN_CASE, "b": DARK, "c": DARK, "d": DARK}),
    *_through(DAY_2 + 9 * HOUR + 5 * MINUTE, DAY_2 + 12 * HOUR, HOUR),
    Say("The authority has published A's keys, signed. Every box fetches the list and compares by itself."),
    SyncAll(),
    Advance(DAY_2 + 12 * HOUR + 5 * MINUTE),
    Expect("A's keys are out", {"a": OWN_CASE, "b": F1, "c": DARK, "d": DARK}),
    Say("B's box alarms. B calls the authority, which gives B a code too."),
    OpenCase("b", "F1", source="a"),
    Consent("b"),
    *_through(DAY_2 + 12 * HOUR + 5 * MINUTE, DAY_2 + 15 * HOUR, HOUR),
    SyncAll(),
    Advance(DAY_2 + 15 * HOUR + 5 * MINUTE),
    Expect("B's keys are out", {"a": OWN_CASE, "b": F1, "c": F2, "d": DARK}),
    *_through(DAY_2 + 15 * HOUR + 5 * MINUTE, DAY_3 + 9 * HOUR, 3 * HOUR),
    Say("The laboratory made a mistake: A is not ill. The authority takes the case back."),
    Revoke("a"),
    *_through(DAY_3 + 9 * HOUR, DAY_3 + 11 * HOUR, HOUR),
    SyncAll(),
    Advance(DAY_3 + 11 * HOUR + 5 * MINUTE),
    Expect("A's case is revoked", {"a": DARK, "b": DARK, "c": DARK, "d": DARK}),
)
