"""Two boxes on one machine, started as an operator would: they meet."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import EXTENDED, LEGACY, run, within
from tests.system.medium.client import Air

TREE = Path(__file__).parents[2]

PROGRAM = """#!/bin/sh
PYTHONPATH={tree}:/opt/wheels exec /usr/bin/python3 -c 'from bluezoned.{module} import main; main()' "$@"
"""

SETTINGS = """[beacon]
profile = "kiosk"
tick_s = 10

[radio]
adapter = "{adapter}"
"""


@pytest.fixture(scope="module")
def installed() -> None:
    """The programs, units, users and policies of this tree, where a package would put them."""
    for name, module in (("bluezoned", "daemon"), ("bluezoned-sync", "sync"), ("bluezonectl", "cli.program")):
        program = Path("/usr/bin") / name
        program.write_text(PROGRAM.format(tree=TREE, module=module))
        program.chmod(0o755)
    units = TREE / "systemd"
    for unit in units.glob("*.service"):
        shutil.copy(unit, "/etc/systemd/system")
    for unit in units.glob("*.timer"):
        shutil.copy(unit, "/etc/systemd/system")
    shutil.copy(units / "org.bluezoned.conf", "/etc/dbus-1/system.d")
    run("systemd-sysusers", str(units / "bluezoned.sysusers"))
    run("systemd-tmpfiles", "--create", str(units / "bluezoned.tmpfiles"))
    run("systemctl", "reload", "dbus")
    run("systemctl", "daemon-reload")


@pytest.fixture(params=[EXTENDED, LEGACY], ids=["extended", "legacy"])
def boxes(air: Air, installed: None, request: pytest.FixtureRequest) -> Iterator[dict[str, int]]:
    """Instance to its controller, both running."""
    names = {"left": request.param[0], "right": request.param[1]}
    settings = Path("/etc/bluezoned")
    settings.mkdir(exist_ok=True)
    for name, controller in names.items():
        (settings / f"{name}.toml").write_text(SETTINGS.format(adapter=air.adapter(controller)))
        run("systemctl", "start", f"bluezoned@{name}")
    yield names
    for name in names:
        run("systemctl", "stop", f"bluezoned@{name}")
        shutil.rmtree(f"/var/lib/bluezoned/instances/{name}")


def asked(instance: str, question: str) -> Any:
    """What bluezonectl answers; None while it cannot."""
    answer = run("bluezonectl", "--instance", instance, question, "--json", check=False)
    return json.loads(answer) if answer else None


def is_well(instance: str) -> bool:
    status = asked(instance, "status")
    return status is not None and status["hearing"] and status["advertising"]


@pytest.mark.timeout(600)
def test_two_boxes_meet(air: Air, boxes: dict[str, int]) -> None:
    mark = air.mark()
    for instance in boxes:
        within(180, lambda instance=instance: is_well(instance), f"{instance}: {asked(instance, 'status')}")
    for instance in boxes:
        within(120, lambda instance=instance: bool(asked(instance, "encounters")), f"{instance} met nobody")
        (day,) = asked(instance, "encounters")
        assert day["rolling_ids"] == 1
    for instance, controller in boxes.items():
        assert air.since(mark, controller), f"{instance} says that it sends"
        pid = run("systemctl", "show", "--property=MainPID", "--value", f"bluezoned@{instance}").strip()
        of_process = Path(f"/proc/{pid}/status").read_text()
        (uids,) = [line.split()[1:] for line in of_process.splitlines() if line.startswith("Uid:")]
        (rights,) = [line.split()[1] for line in of_process.splitlines() if line.startswith("CapEff:")]
        assert "0" not in uids
        assert int(rights, 16) == 0


@pytest.mark.timeout(300)
def test_the_journal_holds_no_identifier_and_no_address(air: Air, boxes: dict[str, int]) -> None:
    mark = air.mark()
    for instance in boxes:
        within(180, lambda instance=instance: is_well(instance), f"{instance}: {asked(instance, 'status')}")
    journal = run("journalctl", "-b", "-o", "json", "-u", "bluezoned@*").lower()
    assert "bluezoned" in journal
    for controller in boxes.values():
        for packet in air.since(mark, controller):
            assert packet.data[8:] not in journal
            assert packet.address.lower() not in journal
