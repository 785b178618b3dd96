"""What the box says, and in which order."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.alert import indicator
from bluezoned.alert.indicator import Indication
from bluezoned.alert.journal import JournalIndicator
from bluezoned.event import Event


def test_every_indication_is_one_sentence() -> None:
    for indication in Indication:
        assert indication.sentence.endswith(".")
        assert indication.sentence.count(".") == 1
    assert len({indication.sentence for indication in Indication}) == len(Indication)


@pytest.mark.parametrize(
    ("holding", "shown"),
    [
        (set(), Indication.ALL_WELL),
        ({Indication.SOMEONE_NEAR, Indication.F2}, Indication.F2),
        ({Indication.F1, Indication.F2, Indication.CANNOT_HEAR}, Indication.F1),
        ({Indication.SOMEONE_NEAR, Indication.CANNOT_ADVERTISE}, Indication.CANNOT_ADVERTISE),
        ({Indication.SOMEONE_NEAR, Indication.KEYS_STALE}, Indication.KEYS_STALE),
    ],
)
def test_the_weightiest_is_shown(holding: set[Indication], shown: Indication) -> None:
    assert indicator.weightiest(holding) is shown


@given(st.sets(st.sampled_from(Indication)), st.sampled_from(Indication))
def test_trouble_is_never_hidden_by_wellbeing(holding: set[Indication], trouble: Indication) -> None:
    well = {Indication.ALL_WELL, Indication.SOMEONE_NEAR}

    assert indicator.weightiest(holding | {trouble}) not in well or trouble in well


def test_the_journal_tells_changes_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    light = JournalIndicator()

    for indication in (Indication.ALL_WELL, Indication.ALL_WELL, Indication.F1, Indication.F1, Indication.ALL_WELL):
        light.show(indication)

    assert caplog.messages == [
        "light: ALL_WELL: All is well.",
        f"light: F1: {Indication.F1.sentence}",
        "light: ALL_WELL: All is well.",
    ]
    assert Event.LIGHT.fields(BLUEZONED_LIGHT="F1").items() <= caplog.records[1].__dict__.items()
