"""What is believed of a board's radio until somebody calibrates it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bluezoned import assembly, board, config_source

PI = "Raspberry Pi Zero 2 W Rev 1.0"


def test_board_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(PI.encode() + b"\0")

    assert board.model(tmp_path / "model") == PI
    assert board.model(tmp_path / "none") is None


@pytest.mark.parametrize(
    "model",
    ["Raspberry Pi 3 Model B Plus Rev 1.3", "Raspberry Pi 4 Model B Rev 1.4", "Raspberry Pi 5 Model B Rev 1.0", PI],
)
def test_pi_takes_its_defaults_until_calibrated(model: str) -> None:
    settings = assembly.settings(config_source.load([], {}, {}), model)

    assert settings.tx_power == settings.ranging.assumed_tx_power == -10
    assert settings.ranging.receive_offset == -9.0


@pytest.mark.parametrize("option", board.OPTIONS)
def test_one_level_set_by_hand_sets_all_defaults_aside(option: str) -> None:
    config = config_source.load([], {}, {option: "1"})

    found = board.levels(config, PI)

    assert found == board.levels(config, None)
    assert board.uncalibrated(config, PI) == (
        "levels are as set by hand: bluezonectl calibrate measures them, with a second box, in two minutes"
    )


def test_unknown_board_takes_free_space() -> None:
    settings = assembly.settings(config_source.load([], {}, {}), "Fruit Board 9")

    assert (settings.tx_power, settings.ranging.receive_offset) == (0, 0.0)


@pytest.mark.parametrize(("model", "told"), [(PI, f"the defaults for a {PI}"), (None, "free space")])
def test_uncalibrated_box_says_so(model: str | None, told: str) -> None:
    advice = board.uncalibrated(config_source.load([], {}, {}), model)

    assert advice is not None
    assert told in advice
    assert "bluezonectl calibrate" in advice


def test_calibrated_box_says_nothing() -> None:
    config = config_source.load([], {}, {"proximity.calibrated": "2026-11-24"})

    assert board.uncalibrated(config, PI) is None
