"""Boxes of this tree under systemd, as an operator starts them: their settings, what they say on the bus and in the
journal."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluezoned.control import names
from tests.system.conftest import TREE, run, within
from tests.system.medium.client import Air

STATE = Path("/var/lib/bluezoned/instances")
SPOOL = Path("/var/spool/bluezoned/instances")
SETTINGS = Path("/etc/bluezoned")

_PROGRAM = """#!/bin/sh
PYTHONPATH={tree}:/opt/wheels exec /usr/bin/python3 -c 'from bluezoned.{module} import main; main()' "$@"
"""

_BASE = """[beacon]
profile = "kiosk"
tick_s = {tick_s}

[radio]
adapter = "{adapter}"
"""

UP_S = 180
"""Seconds until a box hears and sends. Its imports alone take some twenty under emulation."""


def install() -> None:
    """The programs, units, users and policies of this tree, where a package would put them."""
    programs = {"bluezoned": "daemon", "bluezoned-sync": "sync", "bluezoned-display": "display.program",
                "bluezonectl": "cli.program", "bluezone-authority": "authority.cli.program"}  # fmt: skip
    for name, module in programs.items():
        program = Path("/usr/bin") / name
        program.write_text(_PROGRAM.format(tree=TREE, module=module))
        program.chmod(0o755)
    units = TREE / "systemd"
    for unit in (*units.glob("*.service"), *units.glob("*.timer")):
        shutil.copy(unit, "/etc/systemd/system")
    shutil.copy(units / "org.bluezoned.conf", "/etc/dbus-1/system.d")
    shutil.copy(units / "org.bluezoned.rules", "/etc/polkit-1/rules.d")
    Path("/usr/lib/bluezoned").mkdir(exist_ok=True)
    shutil.copy(units / "bt-reset", "/usr/lib/bluezoned")
    run("systemd-sysusers", str(units / "bluezoned.sysusers"))
    run("systemd-tmpfiles", "--create", str(units / "bluezoned.tmpfiles"))
    run("systemctl", "reload", "dbus")
    run("systemctl", "daemon-reload")


@dataclass(frozen=True)
class Box:
    """One instance of the unit."""

    name: str
    controller: int

    def ask(self, question: str, *more: str) -> Any:
        """What bluezonectl answers; None while it cannot."""
        answer = run("bluezonectl", "--instance", self.name, question, *more, "--json", check=False)
        return json.loads(answer) if answer else None

    def get(self, *properties: str) -> list[Any]:
        """Properties of org.bluezoned.Daemon1, sooner than bluezonectl starts; empty while there is no daemon."""
        name = names.bus_name(self.name)
        answer = run("busctl", "--json=short", "get-property", name, names.PATH, names.INTERFACE, *properties,
                     check=False)  # fmt: skip
        return [json.loads(line)["data"] for line in answer.splitlines()]

    def is_well(self) -> bool:
        """Whether it says that it hears and sends."""
        return self.get("Hearing", "Advertising") == [True, True]

    def lights(self, since: float) -> list[str]:
        """What the light showed since then (seconds UTC), by the journal."""
        return [entry["BLUEZONED_LIGHT"] for entry in self.journal(since, "BLUEZONED_EVENT=light")]

    def journal(self, since: float, *matches: str) -> list[dict[str, Any]]:
        """Its entries since then."""
        lines = run("journalctl", "--unit", self.unit, "--since", f"@{since:.6f}", "--output", "json", *matches)
        return [json.loads(line) for line in lines.splitlines()]

    @property
    def unit(self) -> str:
        return f"bluezoned@{self.name}.service"


def set_time(at: int) -> None:
    """This machine's clock, to `at` (ms UTC)."""
    run("date", "--utc", "--set", f"@{at / 1000:.3f}")


@contextmanager
def at_another_time() -> Iterator[None]:
    """The clock may be set inside; afterwards it is right again."""
    begun, begun_monotonic = time.time(), time.monotonic()
    try:
        yield
    finally:
        set_time(round((begun + time.monotonic() - begun_monotonic) * 1000))


@contextmanager
def started(air: Air, name: str, controller: int, settings: str = "", tick_s: int = 2) -> Iterator[Box]:
    """The box once it is well; afterwards nothing of it is left. `settings` are added to a kiosk's,
    which ticks more often than one that is shipped, so that nobody waits."""
    box = Box(name, controller)
    SETTINGS.mkdir(exist_ok=True)
    (SETTINGS / f"{name}.toml").write_text(_BASE.format(adapter=air.adapter(controller), tick_s=tick_s) + settings)
    run("systemctl", "start", box.unit)
    try:
        within(UP_S, box.is_well, lambda: f"{name} is not well: {box.ask('status')}")
        yield box
    finally:
        run("systemctl", "stop", box.unit)
        for place in (STATE, SPOOL):
            shutil.rmtree(place / name, ignore_errors=True)
