"""Which settings a running box takes over when they are read anew, and which wait for a restart. Layer 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from bluezoned.config import SECTIONS, Config, options

AT_START = frozenset(
    {
        # What is on the air and what stands on disk hang together from the start on.
        "beacon.protocol",
        "beacon.listen",
        "beacon.key_schedule",
        "beacon.instance",
        "beacon.state_dir",
        "beacon.spool_dir",
        # How encounters under way are cut.
        "encounter.silence_s",
        # Opened once: adapter, bus, and lines of the board.
        "beacon.profile",
        *(f"{section}.{option}" for section in ("alert", "control") for option in options(section)),
        "radio.adapter",
    }
)
"""Options that are read at the start alone; every other one may change while the box runs."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """New settings beside those in force."""

    config: Config
    """What to run with now."""
    changed: tuple[str, ...]
    """`section.option` of what is in force from now on."""
    waiting: tuple[str, ...]
    """`section.option` of what was changed and waits for a restart."""


def merge(running: Config, read: Config) -> Reloaded:
    """Take over what can be taken over."""
    differing = [
        f"{section}.{option}"
        for section in SECTIONS
        for option in options(section)
        if getattr(getattr(running, section), option) != getattr(getattr(read, section), option)
    ]
    sections: dict[str, Any] = {
        section: msgspec.structs.replace(
            getattr(read, section),
            **{o: getattr(getattr(running, section), o) for o in options(section) if f"{section}.{o}" in AT_START},
        )
        for section in SECTIONS
    }
    origins = {name: place for name, place in read.origins.items() if name not in AT_START}
    origins |= {name: place for name, place in running.origins.items() if name in AT_START}
    return Reloaded(
        msgspec.structs.replace(read, **sections, origins=origins),
        tuple(name for name in differing if name not in AT_START),
        tuple(name for name in differing if name in AT_START),
    )
