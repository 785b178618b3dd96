"""Settings that change while the box runs, and those that wait."""

from __future__ import annotations

import pytest

from bluezoned import config_source, reload
from bluezoned.config import SECTIONS, options


def test_nothing_new_changes_nothing() -> None:
    config = config_source.load([], {}, {"radio.tx_power_dbm": "-10"})

    reloaded = reload.merge(config, config)

    assert (reloaded.config, reloaded.changed, reloaded.waiting) == (config, (), ())


def test_what_can_change_does_and_the_rest_waits() -> None:
    running = config_source.load([], {}, {"beacon.tick_s": "60"})
    read = config_source.load(
        [], {}, {"exposure.minutes": "30", "beacon.profile": "kiosk", "radio.tx_power_dbm": "-10"}
    )

    reloaded = reload.merge(running, read)

    assert reloaded.changed == ("radio.tx_power_dbm", "exposure.minutes")
    assert reloaded.waiting == ("beacon.profile",)
    assert (reloaded.config.exposure.minutes, reloaded.config.radio.tx_power_dbm) == (30, -10)
    assert reloaded.config.beacon.profile == "wearable"
    # board.levels asks for it: what was set by hand replaces the board's defaults.
    assert "radio.tx_power_dbm" in reloaded.config.origins


def test_what_waits_is_named_again_at_the_next_reading() -> None:
    running, read = config_source.load([], {}, {}), config_source.load([], {}, {"radio.adapter": "hci1"})

    once = reload.merge(running, read)

    assert reload.merge(once.config, read).waiting == ("radio.adapter",)


@pytest.mark.parametrize("name", sorted(reload.AT_START))
def test_what_waits_is_an_option(name: str) -> None:
    section, _, option = name.partition(".")

    assert option in options(section)
    assert section in SECTIONS
