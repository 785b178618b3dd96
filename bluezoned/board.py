"""Which board this is, and what is believed of its radio until somebody calibrates it. Layer 4: reads the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bluezoned.config import Config
from bluezoned.tracing.calibration import Gains
from bluezoned.tracing.proximity import Ranging

MODEL = Path("/sys/firmware/devicetree/base/model")
"""Where a Raspberry Pi says what it is, such as `Raspberry Pi 4 Model B Rev 1.4`. /proc/device-tree leads here too, but
the unit's ProcSubset=pid hides it from the daemon."""

_PI = Gains(tx_power=-10, receive_offset=-9.0)
"""Two pairs of Pi 4 in two homes heard one another at 1 m at -53 and -67 dBm (rpi_winner and rpi_dean, openly
licensed): 19 dB below free space in the middle, half of it to each side. No recording is known of the others; their
radios and printed antennas are of one family. A single box may be off by 7 dB either way, a pocket or a metal case by
10: defaults, no calibration."""

DEFAULTS: Mapping[str, Gains] = {
    "Raspberry Pi Zero 2": _PI,
    "Raspberry Pi 3": _PI,
    "Raspberry Pi 4": _PI,
    "Raspberry Pi 5": _PI,
}
"""By the beginning of the model."""

OPTIONS = (
    "radio.tx_power_dbm",
    "proximity.attenuation_1m_db",
    "proximity.receive_offset_db",
    "proximity.assumed_tx_power_dbm",
)
"""Where one of these is set, no default of the board is mixed in: what was measured was measured together."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What a box believes of its own radio and of others'."""

    tx_power: int
    """dBm."""
    ranging: Ranging


def model(path: Path = MODEL) -> str | None:
    """None on a machine that does not say."""
    try:
        return path.read_bytes().rstrip(b"\0").decode("ascii", "replace")
    except OSError:
        return None


def defaults(board: str | None) -> Gains | None:
    """Of a board that is known here."""
    return next((gains for name, gains in DEFAULTS.items() if board is not None and board.startswith(name)), None)


def levels(config: Config, board: str | None) -> Levels:
    """What was set, or else the board's defaults, or else free space."""
    gains = defaults(board)
    if gains is None or any(option in config.origins for option in OPTIONS):
        proximity = config.proximity
        ranging = Ranging(proximity.attenuation_1m_db, proximity.receive_offset_db, proximity.assumed_tx_power_dbm)
        return Levels(config.radio.tx_power_dbm, ranging)
    return Levels(gains.tx_power, Ranging(receive_offset=gains.receive_offset, assumed_tx_power=gains.tx_power))


def uncalibrated(config: Config, board: str | None) -> str | None:
    """A sentence for people on how far levels can be trusted and what to do; None when they were calibrated."""
    if config.proximity.calibrated:
        return None
    if any(option in config.origins for option in OPTIONS):
        what = "levels are as set by hand"
    elif defaults(board) is not None:
        what = f"levels are the defaults for a {board}, 7 dB off or more in another case or room"
    else:
        what = "levels are those of free space, 20 dB off or more, because nothing is known of this board"
    return f"{what}: bluezonectl calibrate measures them, with a second box, in two minutes"
