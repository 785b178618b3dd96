"""What the page says, without a browser."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import pytest

from bluezoned.alert.indicator import Indication
from bluezoned.alert.pattern import GRAMMAR, Colour
from bluezoned.display import page
from tests.control.daemon_double import WELL

COLOURS = {"well": Colour.GREEN, "help": Colour.AMBER, "case": Colour.RED}


@pytest.mark.parametrize("indication", Indication)
def test_page_and_light_agree(indication: Indication) -> None:
    said = page.words(replace(WELL, indication=indication.name))

    assert COLOURS[said.tone] in {step.colour for step in GRAMMAR[indication].steps}
    assert said.english != said.vietnamese


def test_without_a_daemon_nothing_is_well() -> None:
    assert page.words(None).tone == "off"
    assert page.freshness(None, UTC)[0] == "No list of cases yet."


def test_a_state_that_this_page_does_not_know_is_not_well() -> None:
    assert page.words(replace(WELL, indication="SPLENDID")).tone == "off"


def test_a_place_speaks_of_the_place() -> None:
    for name in ("OWN_CASE", "F1", "F2"):
        assert not page.words(replace(WELL, indication=name)).english.startswith("You")


def test_the_page_tells_how_fresh_its_news_is() -> None:
    report = replace(WELL, keys_updated_at=1_793_491_200)

    assert page.freshness(report, UTC) == (
        "List of cases of 01.11.2026 00:00",
        "Danh sách ca nhiễm lúc 00:00 01.11.2026",
    )


def test_what_it_says_is_text_and_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "NOT_RUNNING", page.Words("<", "off", "<script>", "&"))

    whole = page.html(None, UTC)

    assert "<script>" not in whole
    assert "&lt;script&gt;" in whole
