"""The grammar of light and tone: laws that hold for every pattern, and the words for each."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.alert import indicator, pattern, wiring
from bluezoned.alert.indicator import Indication
from bluezoned.alert.pattern import CASES, GRAMMAR, STEADY, VIETNAMESE, WELL, Answer, Colour, Pattern, Step, Tone
from bluezoned.alert.wiring import Channel

TROUBLE = frozenset(Indication) - WELL - CASES

lights = st.sampled_from(
    [
        frozenset({Channel.ANY}),
        *(
            frozenset({Channel.RED, Channel.GREEN, *others})
            for count in range(3)
            for others in combinations((Channel.AMBER, Channel.BLUE), count)
        ),
    ]
)
patterns = st.one_of(
    st.sampled_from(list(GRAMMAR.values())),
    st.sampled_from([answer.value for answer in Answer]),
    st.sampled_from([found for found in map(pattern.announcement, Indication) if found is not None]),
)


def test_every_indication_has_its_pattern() -> None:
    assert GRAMMAR.keys() == set(Indication)


def test_no_two_patterns_have_the_same_rhythm() -> None:
    """So that nobody needs to see colours, and one light of any colour does."""
    rhythms = {tuple((s.colour is Colour.DARK, s.duration) for s in p.steps) for p in GRAMMAR.values()}

    assert len(rhythms) == len(Indication)


def test_no_two_patterns_are_read_out_alike_and_discretion_changes_nothing_about_that() -> None:
    for spoken in (
        [pattern.describe(p) for p in GRAMMAR.values()],
        [pattern.describe(p, VIETNAMESE) for p in GRAMMAR.values()],
    ):
        assert len(set(spoken)) == len(Indication)
    discreet = {
        tuple((s.colour is Colour.DARK, s.duration) for s in pattern.discreet(p).steps) for p in GRAMMAR.values()
    }
    assert len(discreet) == len(Indication)


@given(st.sets(st.sampled_from(Indication)), st.sampled_from(sorted(TROUBLE, key=str)), lights, st.booleans())
def test_a_box_in_trouble_never_shows_green(
    holding: set[Indication], trouble: Indication, channels: frozenset[Channel], is_one: bool
) -> None:
    """Whatever else holds, whatever its lights: not in the state's pattern, not when it is announced, not discreetly.
    Green in an amber mixed with more red is the one exception, which is no green to the eye."""
    shown = indicator.weightiest(holding | {trouble})

    for said in (GRAMMAR[shown], pattern.announcement(shown) or pattern.DARK):
        for step in (*said.steps, *pattern.discreet(said).steps):
            lit = wiring.shown(step.colour, channels, is_one)
            assert step.colour is not Colour.GREEN
            assert lit.get(Channel.GREEN, 0) <= lit.get(Channel.RED, 0) / 2


@given(st.sampled_from(Answer), lights, st.booleans())
def test_no_answer_to_a_hand_looks_as_if_all_were_well(
    answer: Answer, channels: frozenset[Channel], is_one: bool
) -> None:
    for step in answer.value.steps:
        assert Channel.GREEN not in wiring.shown(step.colour, channels, is_one) or step.colour is Colour.AMBER


@given(st.sampled_from(sorted(TROUBLE | CASES, key=str)))
def test_one_light_in_trouble_does_not_keep_the_rhythm_of_a_box_that_is_well(indication: Indication) -> None:
    longest = max(s.duration for s in GRAMMAR[indication].steps if s.colour is not Colour.DARK)

    assert longest >= pattern.FLASH > 3 * pattern.SHORT


@given(patterns)
def test_nothing_is_steadily_lit(said: Pattern) -> None:
    lit = 0
    for step in said.steps * 2:
        lit = 0 if step.colour is Colour.DARK else lit + step.duration
        assert lit < STEADY
    assert said.steps[-1].colour is Colour.DARK


@given(patterns)
def test_discretion_is_silent_shorter_and_rarer(said: Pattern) -> None:
    quiet = pattern.discreet(said)

    assert all(step.tone is None for step in quiet.steps)
    assert [s.colour for s in quiet.steps] == [s.colour for s in said.steps]
    assert quiet.duration >= 1.5 * said.duration
    assert _lit(quiet) <= _lit(said) / 2


def _lit(said: Pattern) -> int:
    return sum(step.duration for step in said.steps if step.colour is not Colour.DARK)


@pytest.mark.parametrize("indication", sorted(WELL | {Indication.PAUSED}, key=str))
def test_what_needs_nobody_makes_no_sound(indication: Indication) -> None:
    assert pattern.announcement(indication) is None


@pytest.mark.parametrize("indication", sorted(CASES, key=str))
def test_a_case_is_announced_by_the_same_light_with_tones(indication: Indication) -> None:
    announced = pattern.announcement(indication)

    assert announced is not None
    assert pattern.silent(announced).steps[: len(GRAMMAR[indication].steps)] == GRAMMAR[indication].steps
    assert {step.tone for step in announced.steps if step.colour is Colour.RED} == {Tone.HIGH}
    assert announced.duration <= 6000


def test_a_pattern_is_read_out_from_its_steps() -> None:
    said = Pattern((Step(Colour.AMBER, 800), Step(Colour.DARK, 300), Step(Colour.AMBER, 160), Step(Colour.DARK, 240)))

    assert pattern.describe(said) == "amber: 1 long, then 1 short, every 1.5 s"
    assert pattern.describe(said, VIETNAMESE) == "vàng: 1 dài, rồi 1 ngắn, mỗi 1.5 giây"


@pytest.mark.parametrize(
    ("indication", "spoken"),
    [
        (Indication.ALL_WELL, "green: 1 short, every 4 s"),
        (Indication.SOMEONE_NEAR, "green: 2 short, every 4 s"),
        (Indication.F1, "red: 1 flash, every 1 s"),
        (Indication.F2, "red: 2 flashes, every 2 s"),
        (Indication.OWN_CASE, "red: 1 glow, every 2 s"),
        (Indication.PAUSED, "amber: 1 long, every 4 s"),
        (Indication.CANNOT_HEAR, "amber: 1 long, then 1 short, every 4 s"),
        (Indication.BUTTON_STUCK, "amber: 1 long, then 6 short, every 4 s"),
    ],
)
def test_the_words_of_the_grammar(indication: Indication, spoken: str) -> None:
    assert pattern.describe(GRAMMAR[indication]) == spoken
