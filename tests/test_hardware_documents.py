"""docs/wiring.md and docs/signals.md say what the code does, and the drawings show it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from bluezoned.alert.indicator import Indication
from bluezoned.alert.pattern import ENGLISH, GRAMMAR, VIETNAMESE, describe
from bluezoned.alert.vietnamese import SENTENCES
from bluezoned.alert.wiring import PHYSICAL, PRESETS, Channel

DOCS = Path(__file__).parents[1] / "docs"
WIRING, SIGNALS = (DOCS / "wiring.md").read_text(), (DOCS / "signals.md").read_text()


def rows(text: str) -> dict[str, list[str]]:
    """Rows of every table, by their first cell."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    return {cells[0]: cells[1:] for cells in lines}


@pytest.fixture(scope="module")
def draw() -> ModuleType:
    found = importlib.util.spec_from_file_location("draw", DOCS / "drawings" / "draw.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("indication", Indication)
def test_each_state_is_taught_in_both_languages(indication: Indication) -> None:
    pattern = GRAMMAR[indication]
    taught = [indication.sentence, SENTENCES[indication], describe(pattern, ENGLISH), describe(pattern, VIETNAMESE)]

    assert rows(SIGNALS)[indication.name] == taught


def test_nothing_else_is_taught() -> None:
    assert {name for name in rows(SIGNALS) if name.isupper()} == {indication.name for indication in Indication}


def pin(number: int | None) -> str:
    return "" if number is None else f"GPIO{number} (P{PHYSICAL[number]})"


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_each_preset_is_in_the_table(name: str) -> None:
    wiring = PRESETS[name]
    _, red, amber, green, blue, buzzer, buttons = rows(WIRING)[name]

    assert [red, amber, green, blue] == [
        pin(wiring.lights.get(channel)) for channel in (Channel.RED, Channel.AMBER, Channel.GREEN, Channel.BLUE)
    ]
    kind = "passive" if wiring.buzzer_is_passive else "active"
    assert buzzer == ("" if wiring.buzzer is None else f"{pin(wiring.buzzer)}, {kind}")
    way = [] if wiring.buttons_to_ground else ["to 3.3 V"]
    assert buttons == ", ".join([*map(pin, wiring.buttons), *way])


def test_the_arithmetic_is_right() -> None:
    for light in ("red", "amber", "green, 2 V type", "green or blue of an RGB light"):
        forward, resistor, current = (float(cell.split()[0]) for cell in rows(WIRING)[light])
        assert round((3.3 - forward) / resistor * 1000, 1) == current


def test_the_drawings_are_those_of_the_code(draw: ModuleType) -> None:
    drawn = {name: make() for name, make in draw.DRAWINGS.items()}

    assert drawn == {name: (DOCS / "drawings" / name).read_text() for name in drawn}


def test_the_drawings_are_shown(draw: ModuleType) -> None:
    assert all(f"](drawings/{name})" in WIRING + SIGNALS for name in draw.DRAWINGS)
