"""The programs as a person runs them: real processes on a desk, a private bus, exit codes and words."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import click
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bluezoned import command_line, key_export
from bluezoned.demo import scene
from bluezoned.demo.cast import Beacon, Bus, Stage, free_port, program
from bluezoned.feed import schedule
from bluezoned.feed.spool import Spool
from bluezoned.key_export import KeyExport
from bluezoned.protocols.protocol import DAY
from bluezoned.radio import recording
from bluezoned.radio.desk import Desk
from bluezoned.radio.ether import Ether, PathLoss

NINE = 20_759 * DAY + 9 * 3_600_000
VECTORS = Path(__file__).parent / "vectors"
MINUTE = 60_000
HOUR = 60 * MINUTE


def ran(*command: str, **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]


SIGNING_KEY = ec.generate_private_key(ec.SECP256R1())
PINNED = f'''[authority]
url = "https://authority.example"
public_key = """
{SIGNING_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()}"""
'''


class Street:
    """Two boxes near one another, that pin an authority nobody can reach."""

    def __init__(self, stage: Stage, desk: Desk, boxes: dict[str, Beacon]) -> None:
        self.stage = stage
        self.desk = desk
        self.boxes = boxes

    async def ctl(self, name: str, *words: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            program("bluezonectl"), "--config", str(self.stage.directory / f"{name}.toml"), *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=self.stage.environment,
        )  # fmt: skip
        output, complaints = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode(), complaints.decode()


@pytest_asyncio.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    environment = Stage(tmp_path, tmp_path / "desk", "", 0).environment
    bus = Bus(tmp_path, environment)
    stage = Stage(tmp_path, tmp_path / "desk", bus.address, free_port())
    ether = Ether()
    for one, other in (("a", "b"), ("b", "a")):
        ether.open_path(one, other, PathLoss(0.5, level_1m=scene.LEVEL_1M, shadowing=1), NINE, NINE + DAY)
    async with Desk(ether, NINE, stage.desk) as desk:
        boxes = {
            name: Beacon(
                name,
                stage,
                scene.settings(name, "bluezone", tmp_path, bus.address, "https://authority.example", PINNED),
            )
            for name in "ab"
        }
        await bus.start()
        for box in boxes.values():
            await box.start()
        for box in boxes.values():
            await box.ready()
        yield Street(stage, desk, boxes)
        for box in boxes.values():
            await box.stop()
        await bus.stop()


async def test_status_tells_the_truth_about_a_fresh_box(street: Street) -> None:
    await street.desk.advance(NINE + 2 * MINUTE)

    status, output, _ = await street.ctl("a", "status", "--json")

    report = json.loads(output)
    assert status == 0
    assert report["indication"] == "KEYS_STALE"
    assert (report["hearing"], report["advertising"], report["nearby"]) == (True, True, 1)
    assert (report["alert_level"], report["keys_updated_at"]) == (None, None)


async def test_encounters_are_told_in_totals(street: Street) -> None:
    await street.desk.advance(NINE + 31 * MINUTE)

    _, output, _ = await street.ctl("a", "--json", "encounters")
    _, table, _ = await street.ctl("a", "encounters")

    (day,) = json.loads(output)
    assert day["day"] == "2026-11-02"
    assert 30 <= day["minutes_near"] <= day["minutes"] <= 34
    assert set(day) == {"day", "rolling_ids", "minutes", "minutes_near"}
    assert "2026-11-02" in table
    assert "\x1b" not in table


async def test_forged_batch_changes_nothing_and_is_reported(street: Street) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    forged = key_export.write(KeyExport("bluezone", 1, NINE - DAY, NINE, "VN", ()), stranger, "authority")
    inbox = street.stage.directory / "a" / "spool" / "inbox"
    (inbox / "batch-1-forged.zip").write_bytes(forged)

    await street.desk.advance(NINE + 3 * MINUTE)

    report = await street.boxes["a"].status()
    assert any("signature" in problem for problem in report.problems)
    assert report.indication == "KEYS_STALE"
    assert list(inbox.iterdir()) == []
    assert "signature" in street.boxes["a"].log.read_text()


async def test_paused_box_is_neither_heard_nor_hears(street: Street) -> None:
    await street.ctl("a", "pause")
    await street.desk.advance(NINE + 10 * MINUTE)
    assert (await street.boxes["b"].status()).nearby == 0
    await street.boxes["a"].kill()
    await street.boxes["a"].start()
    await street.boxes["a"].ready()
    assert (await street.boxes["a"].status()).paused

    await street.ctl("a", "resume")
    await street.desk.advance(NINE + 13 * MINUTE)
    assert (await street.boxes["b"].status()).nearby == 1


async def test_erased_box_has_met_nobody_and_sends_another_identifier(street: Street) -> None:
    await street.desk.advance(NINE + 20 * MINUTE)
    unasked, _, _ = await street.ctl("a", "erase")
    _, kept, _ = await street.ctl("a", "encounters", "--json")
    heard_before = json.loads((await street.ctl("b", "encounters", "--json"))[1])[0]["rolling_ids"]

    status, said, _ = await street.ctl("a", "erase", "--yes", "--json")
    _, left, _ = await street.ctl("a", "encounters", "--json")
    await street.desk.advance(NINE + 22 * MINUTE)
    heard_after = json.loads((await street.ctl("b", "encounters", "--json"))[1])[0]["rolling_ids"]

    assert unasked != 0
    assert json.loads(kept)
    assert (status, json.loads(said), json.loads(left)) == (0, {"erased": "all", "hours": None}, [])
    # The same quarter of an hour: without a fresh key it would be the same identifier.
    assert heard_after == heard_before + 1


async def test_last_hours_are_erased(street: Street) -> None:
    await street.desk.advance(NINE + 20 * MINUTE)

    status, said, _ = await street.ctl("a", "erase", "--last", "1", "--yes")
    _, left, _ = await street.ctl("a", "encounters", "--json")

    assert (status, said) == (0, "Erased: what this box remembers of the last 1 h.\n")
    assert json.loads(left) == []


async def test_acknowledged_trouble_is_quiet_until_something_else_is_shown(street: Street) -> None:
    await street.desk.advance(NINE + 2 * MINUTE)

    await street.ctl("a", "acknowledge")

    report = await street.boxes["a"].status()
    assert (report.indication, report.acknowledged) == ("KEYS_STALE", True)


async def test_self_test_without_hardware_says_so(street: Street) -> None:
    status, said, _ = await street.ctl("a", "selftest")
    _, told, _ = await street.ctl("b", "selftest", "--json")

    assert (status, said.startswith("This box has neither light nor sound")) == (0, True)
    assert [state["name"] for state in json.loads(told)["indications"]][-1] == "ALL_WELL"
    assert "self-test of the light: F1" in street.boxes["a"].log.read_text()


async def test_what_is_recorded_can_be_played_again_and_holds_no_address(street: Street) -> None:
    asked = asyncio.create_task(street.ctl("a", "record", "--seconds", "3", "--yes", "--json"))
    capture = street.stage.directory / "a" / "state" / "capture.jsonl"
    while not capture.exists():
        await asyncio.sleep(0.05)
    await street.desk.advance(NINE + 2 * MINUTE)

    status, said, _ = await asked

    assert (status, json.loads(said)) == (0, {"file": str(capture), "seconds": 3})
    with capture.open("rb") as file:
        assert list(recording.read(file))
    assert {frozenset(json.loads(line)) for line in capture.read_text().splitlines()} == {
        frozenset({"at", "rssi", "data"})
    }


async def test_consent_is_asked_for_and_needs_an_authority(street: Street) -> None:
    unasked, _, _ = await street.ctl("a", "consent", "12345678")
    status, _, complaint = await street.ctl("a", "consent", "12345678", "--yes")

    assert unasked != 0
    assert status == 1
    assert "fetch the list once" in complaint
    assert not list((street.stage.directory / "a" / "spool" / "outbox").iterdir())


async def test_box_stops_politely_and_keeps_the_open_minute(street: Street) -> None:
    await street.desk.advance(NINE + 3 * MINUTE + 30_000)
    process = street.boxes["a"]._process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    await street.boxes["a"].start()
    await street.boxes["a"].ready()

    _, output, _ = await street.ctl("a", "--json", "encounters")

    assert json.loads(output)[0]["minutes"] == 4


async def test_nobody_on_the_bus_is_said_with_its_own_status(street: Street) -> None:
    await street.boxes["a"].kill()

    status, _, complaint = await street.ctl("a", "status")

    assert status == 3
    assert "not running" in complaint


def test_inspection_of_a_good_export() -> None:
    done = ran(
        program("bluezonectl"), "inspect-export", "--json", str(VECTORS / "gaen-server-2-keys.zip"),
        "--public-key", str(VECTORS / "gaen-server-public.pem"),
    )  # fmt: skip

    facts = json.loads(done.stdout)
    assert done.returncode == 0
    assert (facts["keys"], facts["signature"], facts["protocol"]) == (2, "valid", "gaen")


def test_inspection_of_an_unsigned_export() -> None:
    done = ran(
        program("bluezonectl"), "inspect-export", "--json", str(VECTORS / "empty-signature.zip"),
        "--public-key", str(VECTORS / "gaen-server-public.pem"),
    )  # fmt: skip

    assert json.loads(done.stdout)["signature"] == "missing"
    assert done.returncode == 1


def test_wrong_settings_are_named_by_file_line_and_option(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text('[beacon]\nprotocol = "bluezon"\nretention_days = 99\n')

    done = ran(program("bluezoned"), "--check-config", "--config", str(tmp_path / "b.toml"))

    assert done.returncode == 78
    assert "b.toml:2: beacon.protocol" in done.stderr
    assert "b.toml:3: beacon.retention_days" in done.stderr


def test_shipped_settings_are_fine() -> None:
    shipped = Path(__file__).parent.parent / "config" / "bluezoned.toml"

    done = ran(program("bluezoned"), "--check-config", "--config", str(shipped))

    assert (done.returncode, done.stdout) == (0, "the configuration is fine\n")


BY_NOBODY = """
import os, sys
from bluezoned import daemon
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
daemon.main()
"""


def test_box_without_bluetooth_goes_on_and_says_so() -> None:
    # A place that anybody may write; pytest's own is closed to others.
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        places = (f"beacon.state_dir={place}/state", f"beacon.spool_dir={place}/spool", "control.bus=unix:path=/no")
        command = [sys.executable, "-c", BY_NOBODY, *(w for p in places for w in ("--set", p))]
        no_bus = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={place}/nowhere"}

        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=no_bus) as box:
            assert box.stderr is not None
            said = next(line for line in box.stderr if "bluezoned.radio.bluez" in line)
            box.terminate()
            rest = box.stderr.read()

    assert "cannot reach the D-Bus" in said
    assert box.returncode == 0
    assert "Traceback" not in rest


class Systemd:
    """What a service manager is told, in its order."""

    def __init__(self, place: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(place))
        self._socket.settimeout(30)

    def hears(self, beginning: str) -> str:
        """The next notice that begins so."""
        while not (notice := self._socket.recv(4096).decode()).startswith(beginning):
            pass
        return notice

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Systemd, Path]]:
    """A daemon that hears nobody, under a service manager, and its settings."""
    (tmp_path / "silence.jsonl").touch()
    settings = tmp_path / "b.toml"
    settings.write_text(
        f"[beacon]\nstate_dir = '{tmp_path}/state'\nspool_dir = '{tmp_path}/spool'\n"
        f"[control]\nbus = 'unix:path={tmp_path}/no'\n"
    )
    systemd = Systemd(tmp_path / "notify")
    command = [program("bluezoned"), "--config", str(settings), "--replay", str(tmp_path / "silence.jsonl")]
    told = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=told) as box:
        yield box, systemd, settings
        box.terminate()
    systemd.close()


Supervised = tuple["subprocess.Popen[str]", Systemd, Path]


def test_systemd_is_told_when_it_is_ready_and_that_its_parts_answer(supervised: Supervised) -> None:
    box, systemd, _ = supervised

    ready = systemd.hears("READY=1")
    systemd.hears("WATCHDOG=1")
    status = systemd.hears("STATUS=")
    box.terminate()
    systemd.hears("STOPPING=1")

    assert "STATUS=" in ready
    assert "no list of cases yet" in status
    assert box.wait(30) == 0


def test_a_hangup_reads_the_settings_anew(supervised: Supervised) -> None:
    box, systemd, settings = supervised
    assert box.stderr is not None
    systemd.hears("READY=1")
    before = settings.read_text()

    settings.write_text(before + "[exposure]\nminutes = 30\n[radio]\nadapter = 'hci7'\n[log]\nlevel = 'debug'\n")
    box.send_signal(signal.SIGHUP)
    systemd.hears("RELOADING=1")
    systemd.hears("READY=1")
    said = next(line for line in box.stderr if "settings" in line)
    settings.write_text(before + "[exposure]\nminutes = 'many'\n")
    box.send_signal(signal.SIGHUP)
    systemd.hears("READY=1")
    complaint = next(line for line in box.stderr if "settings" in line)

    assert said.endswith(
        "settings read anew, changed: exposure.minutes, log.level; only a restart brings radio.adapter\n"
    )
    assert "stay as they were" in complaint
    assert "exposure.minutes: 'many' is not allowed" in complaint
    assert box.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be root")
def test_the_daemon_does_not_run_as_root(tmp_path: Path) -> None:
    done = ran(program("bluezoned"), "--set", f"beacon.state_dir={tmp_path}/state")

    assert done.returncode == 77
    assert "does not run as root" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be root")
def test_root_leaves_no_files_in_the_spool_of_another(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(PINNED)
    os.chown(tmp_path, 65534, 65534)

    done = ran(
        program("bluezoned-sync"), "--config", str(tmp_path / "b.toml"), "--set", f"beacon.spool_dir={tmp_path}"
    )  # fmt: skip

    assert done.returncode == 77
    assert "systemctl start bluezoned-sync" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["b.toml"]


def test_an_instance_has_a_file_and_places_of_its_own() -> None:
    seen: list[tuple[Path | None, tuple[str, ...]]] = []

    @click.command()
    @command_line.config_options
    def command(config_path: Path | None, settings: tuple[str, ...]) -> None:
        seen.append((config_path, settings))

    command.main(["--instance", "left", "--set", "beacon.tick_s=5"], standalone_mode=False)

    assert seen == [
        (
            Path("/etc/bluezoned/left.toml"),
            (
                "beacon.instance=left",
                "beacon.state_dir=/var/lib/bluezoned/instances/left",
                "beacon.spool_dir=/var/spool/bluezoned/instances/left",
                "beacon.tick_s=5",
            ),
        )
    ]


def test_an_instance_cannot_be_a_path() -> None:
    done = ran(program("bluezoned"), "--instance", "../left", "--check-config")

    assert done.returncode == 2
    assert "lower case letters" in done.stderr


def test_bad_capture_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "capture").write_text("nonsense\n")
    places = (f"beacon.state_dir={tmp_path}", f"beacon.spool_dir={tmp_path}", "control.bus=unix:path=/nowhere")

    done = ran(
        program("bluezoned"), "--replay", str(tmp_path / "capture"), *(w for p in places for w in ("--set", p))
    )  # fmt: skip

    assert done.returncode == 69
    assert "line 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_sync_without_an_authority_has_nothing_to_do() -> None:
    done = ran(program("bluezoned-sync"))

    assert done.returncode == 0
    assert "nothing to do" in done.stderr


def test_a_visit_that_failed_is_put_off(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(PINNED.replace("https://authority.example", "http://127.0.0.1:9"))
    words = ("--config", str(tmp_path / "b.toml"), "--set", f"beacon.spool_dir={tmp_path}/spool", "--tries", "1")

    done = ran(program("bluezoned-sync"), *words, "--if-due")

    assert done.returncode == 75
    assert schedule.decode(Spool(tmp_path / "spool").memory.read("visit")).retry > 0


def test_authority_asks_to_be_founded_first(tmp_path: Path) -> None:
    done = ran(program("bluezone-authority"), "list", "--data", str(tmp_path))

    assert done.returncode == 78
    assert "bluezone-authority init" in done.stderr


def test_founding_twice_replaces_nothing(tmp_path: Path) -> None:
    ran(program("bluezone-authority"), "init", "--data", str(tmp_path), "--yes")
    key = (tmp_path / "keys" / "signing.pem").read_bytes()

    done = ran(program("bluezone-authority"), "init", "--data", str(tmp_path), "--yes")

    assert done.returncode == 78
    assert (tmp_path / "keys" / "signing.pem").read_bytes() == key
    secrets = [*(tmp_path / "keys").iterdir(), *tmp_path.glob("authority.db*")]
    assert len(secrets) >= 4
    assert [path.name for path in secrets if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize("name", ["bluezoned", "bluezoned-sync", "bluezonectl", "bluezone-authority"])
def test_help_is_there(name: str) -> None:
    done = ran(program(name), "--help")

    assert done.returncode == 0
    assert "Exit status" in done.stdout
