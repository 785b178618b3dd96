"""The language of light and tone: steps, patterns, the grammar that gives each state its pattern, and their wording.

Pure: knows no pin and no clock. docs/signals.md teaches it to people, and a test holds the two together.

The grammar, made to be learnt once and read without colours:

    green    one short flash every 4 s: all is well; two: someone is near
    red      counts the F: one flash after another F1, pairs F2, a long glow F0 (the own case)
    amber    the box needs help: one long light, then count the short ones
    blue     the answer to a hand at the box
    dark or steady   nothing is known: not running

Nothing is steady for longer than STEADY, so that a light which froze with its program says nothing, rather than that
all is well. For the same reason no pattern is left to the kernel or a chip to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain, cycle, groupby

from bluezoned.alert.indicator import Indication


class Colour(Enum):
    """What is meant; what a box can show of it is wiring's matter."""

    DARK = "dark"
    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    BLUE = "blue"


class Tone(Enum):
    """Hz on a passive buzzer; an active one has a single tone. An octave apart, so that nobody must have an ear."""

    LOW = 880
    HIGH = 1760


@dataclass(frozen=True, slots=True)
class Step:
    """One colour and one tone for a while."""

    colour: Colour
    duration: int
    """ms."""
    tone: Tone | None = None


@dataclass(frozen=True, slots=True)
class Pattern:
    """Steps, in order; shown again and again, or once."""

    steps: tuple[Step, ...]

    @property
    def duration(self) -> int:
        """ms of all steps."""
        return sum(step.duration for step in self.steps)


SHORT, FLASH, LONG, GLOW = 80, 300, 800, 1600
"""ms of light. Each at least twice the one before: below that, people mistake one for the next at a glance."""
STEADY = 2000
"""ms after which an unchanged light may be taken for a frozen one. Well's dark pauses are exempt: dark promises
nothing."""
CYCLE = 4000
"""ms between two signs of a box that needs nobody now. Shorter costs a wearable's battery, longer makes one wonder."""


def _lit(colour: Colour, count: int, light: int, gap: int) -> list[Step]:
    return [Step(colour, light), Step(Colour.DARK, gap)] * count


def _filled(steps: list[Step], duration: int) -> Pattern:
    """The last pause lengthened until the whole lasts `duration` ms."""
    rest = duration - sum(step.duration for step in steps)
    return Pattern((*steps[:-1], replace(steps[-1], duration=steps[-1].duration + rest)))


def _well(count: int) -> Pattern:
    return _filled(_lit(Colour.GREEN, count, SHORT, 240), CYCLE)


def _case(count: int) -> Pattern:
    return _filled(_lit(Colour.RED, count, FLASH, 200), 1000 * count)


def _help(count: int) -> Pattern:
    """One long light, then `count` short ones. Twice SHORT, to be counted, and with pauses to say the numbers in."""
    return _filled([*_lit(Colour.AMBER, 1, LONG, 300), *_lit(Colour.AMBER, count, 2 * SHORT, 240)], CYCLE)


GRAMMAR: Mapping[Indication, Pattern] = {
    Indication.ALL_WELL: _well(1),
    Indication.SOMEONE_NEAR: _well(2),
    Indication.OWN_CASE: _filled(_lit(Colour.RED, 1, GLOW, 400), 2000),
    Indication.F1: _case(1),
    Indication.F2: _case(2),
    Indication.PAUSED: _help(0),
    Indication.CANNOT_HEAR: _help(1),
    Indication.CANNOT_ADVERTISE: _help(2),
    Indication.KEYS_STALE: _help(3),
    Indication.CLOCK_UNKNOWN: _help(4),
    Indication.STORAGE_FAULT: _help(5),
    Indication.BUTTON_STUCK: _help(6),
}
"""What repeats while a state holds."""

WELL = frozenset({Indication.ALL_WELL, Indication.SOMEONE_NEAR})
CASES = frozenset({Indication.OWN_CASE, Indication.F1, Indication.F2})


def announcement(indication: Indication) -> Pattern | None:
    """What is played once when a state begins, and again while nobody acknowledges: the same light, with a tone in each
    red flash, or in the long light alone where the box needs help. None: nothing to be heard."""
    pattern = GRAMMAR[indication]
    if indication in CASES:
        sounding = tuple(replace(s, tone=Tone.HIGH) if s.colour is not Colour.DARK else s for s in pattern.steps)
        return Pattern(sounding * (6000 // pattern.duration))
    if indication in WELL or indication is Indication.PAUSED:
        return None
    return Pattern((replace(pattern.steps[0], tone=Tone.LOW), *pattern.steps[1:]))


class Answer(Enum):
    """What the box says to a hand at its buttons."""

    COUNT = Pattern((Step(Colour.BLUE, SHORT, Tone.HIGH), Step(Colour.DARK, SHORT)))
    """One second of holding has passed."""
    DONE = Pattern(
        (Step(Colour.BLUE, FLASH // 2, Tone.LOW), Step(Colour.BLUE, LONG, Tone.HIGH), Step(Colour.DARK, FLASH))
    )
    REFUSED = Pattern((Step(Colour.AMBER, LONG, Tone.LOW), Step(Colour.DARK, FLASH)))
    QUESTION = Pattern(
        (
            Step(Colour.BLUE, FLASH, Tone.LOW),
            Step(Colour.DARK, FLASH),
            Step(Colour.BLUE, FLASH, Tone.HIGH),
            Step(Colour.DARK, 4100),
        )
    )
    """The box waits for a yes."""


DARK = Pattern((Step(Colour.DARK, 1000),))
"""While nothing is known."""


def discreet(pattern: Pattern) -> Pattern:
    """Nothing to be heard, half as long, half as often; the proportions, by which states are told apart, stay."""
    *steps, last = (
        replace(step, tone=None, duration=step.duration if step.colour is Colour.DARK else step.duration // 2)
        for step in pattern.steps
    )
    return Pattern((*steps, replace(last, duration=last.duration + pattern.duration)))


def lasting(first: Pattern, then: Pattern, duration: int) -> Pattern:
    """`first`, and `then` for as often as `duration` ms ask for, cut there."""
    steps: list[Step] = []
    left = duration
    for step in chain(first.steps, cycle(then.steps)):
        steps.append(replace(step, duration=min(step.duration, left)))
        left -= step.duration
        if left <= 0:
            break
    return Pattern(tuple(steps))


def silent(pattern: Pattern) -> Pattern:
    """Nothing to be heard."""
    return Pattern(tuple(replace(step, tone=None) for step in pattern.steps))


@dataclass(frozen=True, slots=True)
class Language:
    """The words to read a pattern out with."""

    colours: Mapping[Colour, str]
    lengths: Mapping[int, tuple[str, str]]
    """One and several, by the shortest light that is called so."""
    then: str
    every: str
    dark: str


_FLASH, _LONG, _GLOW = (SHORT + FLASH) // 2, (FLASH + LONG) // 2, (LONG + GLOW) // 2
"""ms: where one length is taken for the next."""

ENGLISH = Language(
    {Colour.GREEN: "green", Colour.AMBER: "amber", Colour.RED: "red", Colour.BLUE: "blue"},
    {0: ("short", "short"), _FLASH: ("flash", "flashes"), _LONG: ("long", "long"), _GLOW: ("glow", "glows")},
    ", then ",
    "every {} s",
    "dark",
)
VIETNAMESE = Language(
    {Colour.GREEN: "xanh lá", Colour.AMBER: "vàng", Colour.RED: "đỏ", Colour.BLUE: "xanh dương"},
    {0: ("ngắn",) * 2, _FLASH: ("chớp",) * 2, _LONG: ("dài",) * 2, _GLOW: ("sáng lâu",) * 2},
    ", rồi ",
    "mỗi {} giây",
    "tối",
)


def describe(pattern: Pattern, language: Language = ENGLISH) -> str:
    """The pattern read out, from its steps alone: `amber: 1 long, then 3 short, every 4 s`."""
    lit = [step for step in pattern.steps if step.colour is not Colour.DARK]
    if not lit:
        return language.dark
    lengths = [
        next(words for least, words in reversed(tuple(language.lengths.items())) if step.duration >= least)
        for step in lit
    ]
    runs = [(words, len(list(same))) for words, same in groupby(lengths)]
    counted = language.then.join(f"{count} {words[count > 1]}" for words, count in runs)
    return f"{language.colours[lit[0].colour]}: {counted}, {language.every.format(f'{pattern.duration / 1000:g}')}"
