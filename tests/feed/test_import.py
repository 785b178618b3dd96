"""Keys by USB stick: a copy of a real authority's directory, the real program, and the box that judges what it laid."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bluezoned import key_index
from bluezoned.authority.house import found_house, rotate_signing_key
from bluezoned.authority.verification import HOUR
from bluezoned.clock import ManualClock
from bluezoned.exchange import Exchange
from bluezoned.feed import visit
from bluezoned.feed.directory import Directory
from bluezoned.feed.spool import Spool
from bluezoned.opaque import Opaque
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Payload
from bluezoned.tracing.device import Device, Settings
from bluezoned.tracing.encounter import Encounter
from bluezoned.tracing.proximity import MINUTE, Minute, Ranging
from bluezoned.tracing.store import Store
from tests.authority.ward import NOON, Ward, key, message

PROTOCOL = registry.by_name("bluezone")


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    """An authority on SQLite that publishes one key a batch."""
    directory = tmp_path / "ward"
    directory.mkdir()
    (directory / "authority.toml").write_text('[authority]\nname = "test"\n[publish]\nleast_keys = 0\n')
    found_house(directory, "test", os.urandom)
    opened = Ward(directory)
    yield opened
    opened.database.close()


def publish(ward: Ward, at: int) -> DiagnosisKey:
    published = key()
    ward.send(message(ward.code(at=at), published), at)
    ward.publisher.publish(at)
    return published


class Box:
    """A box that pinned the ward's key, and hears of it by stick alone."""

    def __init__(self, directory: Path, pinned: ec.EllipticCurvePublicKey) -> None:
        self._directory = directory
        protocols = {name: registry.by_name(name) for name in registry.NAMES}
        self.store = Store(directory / "box.db", bytes(32), os.urandom)
        self.settings = Settings(protocols["bluezone"], protocols, pinned, 0, Ranging(41.0))
        self.spool = Spool(directory / "spool")
        (directory / "pinned.pem").write_bytes(pinned.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        self.device, self.exchange = self._started()
        self.public_key = str(directory / "pinned.pem")

    def keeps_the_key_as_a_credential(self) -> None:
        """As systemd does: the settings name the daemon's, and the program is handed its own."""
        name = "bluezoned.authority-key"
        (self._directory / "pinned.pem").rename(self._directory / name)
        self.public_key = f"/run/credentials/bluezoned.service/{name}"

    def _started(self) -> tuple[Device, Exchange]:
        device = Device(self.settings, self.store, os.urandom)
        return device, Exchange(device, ManualClock(NOON + DAY), self.spool, lambda: None)

    def meet(self, published: DiagnosisKey) -> None:
        """Half an hour beside whoever has that key."""
        window = PROTOCOL.expand(published)[40]
        minutes = tuple(Minute(window.start + n * MINUTE, 6, -50.0, -48, -49.0) for n in range(15))
        payload = Payload(Opaque(window.rolling_id), None)
        self.store.put_encounters([Encounter("bluezone", payload, window.start, minutes[-1].at, minutes)])
        self.device, self.exchange = self._started()

    def take(self, stick: Path) -> tuple[int, dict[str, Any], str]:
        """What the program says of the stick: exit status, report, complaints."""
        settings = {
            "authority.url": "https://authority.invalid",
            "authority.public_key": self.public_key,
            "beacon.spool_dir": str(self._directory / "spool"),
        }
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        program = str(Path(sys.executable).with_name("bluezoned-sync"))
        command = [program, "--json", *words, "import", str(stick)]
        handed = os.environ | {"CREDENTIALS_DIRECTORY": str(self._directory)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=handed)
        report = json.loads(done.stdout)
        return done.returncode, report, "\n".join(report["problems"]) + done.stderr

    @property
    def known(self) -> set[bytes]:
        """Keys that the box has matched."""
        return {bytes(secret) for secret in self.store.diagnosis_secrets()}


@pytest.fixture
def box(tmp_path: Path, ward: Ward) -> Iterator[Box]:
    (tmp_path / "box").mkdir()
    made = Box(tmp_path / "box", ward.public_key)
    yield made
    made.store.close()


def copied(ward: Ward, to: Path) -> Path:
    return Path(shutil.copytree(ward.directory / "public", to))


async def test_a_stick_does_what_a_visit_does(ward: Ward, box: Box, tmp_path: Path) -> None:
    met, _ = publish(ward, NOON), publish(ward, NOON + HOUR)
    box.meet(met)

    status, report, _ = box.take(copied(ward, tmp_path / "stick"))
    await box.exchange.look_into_inbox()

    assert (status, report) == (0, {"index_changed": True, "batches": 2, "uploads": 0, "problems": []})
    assert box.device.newest_batch() == 2
    assert box.device.keys_issued() == ward.index().issued
    assert box.exchange.problem == ""
    assert box.known == {bytes(met.secret)}


async def test_a_later_stick_brings_what_is_new_and_the_same_again_nothing(
    ward: Ward, box: Box, tmp_path: Path
) -> None:
    publish(ward, NOON)
    first = copied(ward, tmp_path / "first")
    publish(ward, NOON + HOUR)
    second = copied(ward, tmp_path / "second")

    reports = [box.take(stick)[1] for stick in (first, second, second)]
    await box.exchange.look_into_inbox()

    assert [(report["index_changed"], report["batches"]) for report in reports] == [(True, 1), (True, 1), (False, 0)]
    assert box.device.newest_batch() == 2


async def test_an_old_stick_is_refused_and_told_by_the_box(ward: Ward, box: Box, tmp_path: Path) -> None:
    publish(ward, NOON)
    old = copied(ward, tmp_path / "old")
    publish(ward, NOON + HOUR)
    box.take(copied(ward, tmp_path / "new"))
    await box.exchange.look_into_inbox()

    box.take(old)
    await box.exchange.look_into_inbox()

    assert box.device.newest_batch() == 2
    assert box.device.keys_issued() == ward.index().issued
    assert "older than one seen before" in box.exchange.problem


async def test_a_stick_follows_a_replaced_signing_key(ward: Ward, box: Box, tmp_path: Path) -> None:
    publish(ward, NOON)
    rotate_signing_key(ward.directory, NOON + 1, os.urandom)
    later = Ward(ward.directory)
    publish(later, NOON + HOUR)
    stick = copied(later, tmp_path / "stick")
    later.database.close()

    status, _, complaints = box.take(stick)
    await box.exchange.look_into_inbox()

    assert (status, complaints) == (0, "")
    assert (box.device.newest_batch(), box.exchange.problem) == (2, "")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def turn(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def into_link(path: Path) -> None:
    shutil.move(path, path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def into_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def into_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def swell(path: Path) -> None:
    path.write_bytes(bytes(5 << 20))


def sign_by_another(path: Path) -> None:
    index = key_index.peek(path.read_bytes())
    path.write_bytes(key_index.write(index, ec.generate_private_key(ec.SECP256R1())))


def lie_of_protocol(path: Path) -> None:
    """The document is changed, its signature stays."""
    signature, _, body = path.read_bytes().partition(b"\n")
    path.write_bytes(signature + b"\n" + body.replace(b'"bluezone"', b'"gaen"'))


def stay_behind(path: Path) -> None:
    """As in a copy that was begun before the newest batch was published."""
    shutil.copy(path.parents[1] / "first" / path.name, path)


TROUBLES: list[tuple[str, Callable[[Path], None], str]] = [
    ("index", Path.unlink, "index: a file is missing"),
    ("index", cut, "index"),
    ("index", lie_of_protocol, "index: it is not signed by the pinned authority"),
    ("index", sign_by_another, "not signed by the pinned authority"),
    ("index", into_link, "index: "),
    ("index", into_pipe, "no plain file"),
    ("index", into_directory, "no plain file"),
    ("index", swell, "index: the authority's answer is larger than allowed"),
    ("log", Path.unlink, "log: a file is missing"),
    ("log", cut, "log: it is not signed by the pinned authority"),
    ("log", turn, "log: "),
    ("log", stay_behind, "log: it does not tell all that the index lists"),
    ("batches/2", Path.unlink, "a file is missing"),
    ("batches/2", cut, "not what the index says it is"),
    ("batches/2", turn, "not what the index says it is"),
    ("batches/2", into_link, "cannot be read"),
    ("batches/2", into_pipe, "no plain file"),
]


@pytest.mark.parametrize(("name", "spoil", "told"), TROUBLES)
async def test_a_bad_stick_is_named_and_loses_nothing(
    name: str, spoil: Callable[[Path], None], told: str, ward: Ward, box: Box, tmp_path: Path
) -> None:
    publish(ward, NOON)
    box.take(copied(ward, tmp_path / "first"))
    before = box.spool.inbox.read("index")
    publish(ward, NOON + HOUR)
    good, bad = copied(ward, tmp_path / "good"), copied(ward, tmp_path / "bad")
    spoilt = bad / name.replace("2", ward.index().batches[1].name)
    spoil(spoilt)

    status, _, complaints = box.take(bad)
    after = box.spool.inbox.read("index")
    mended, report, _ = box.take(good)
    await box.exchange.look_into_inbox()

    assert (status, told in complaints) == (65, True), complaints
    assert "Traceback" not in complaints
    assert after == before
    assert (mended, report["problems"]) == (0, [])
    assert (box.device.newest_batch(), box.exchange.problem) == (2, "")


async def test_a_key_kept_as_a_credential_checks_a_stick_too(ward: Ward, box: Box, tmp_path: Path) -> None:
    publish(ward, NOON)
    good, bad = copied(ward, tmp_path / "good"), copied(ward, tmp_path / "bad")
    cut(bad / "log")
    box.keeps_the_key_as_a_credential()

    status, _, complaints = box.take(bad)
    mended, _, _ = box.take(good)

    assert (status, mended) == (65, 0)
    assert "log: it is not signed by the pinned authority" in complaints


@pytest.mark.parametrize("stick", ["nowhere", "ward/authority.toml"])
def test_a_directory_without_keys_is_named(stick: str, box: Box, tmp_path: Path) -> None:
    status, _, complaints = box.take(tmp_path / stick)

    assert status == 65
    assert "index: a file is missing: copy the whole of the authority's directory public" in complaints
    assert box.spool.inbox.names() == []


def test_a_box_without_an_authority_says_whose_keys_it_lacks(tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("bluezoned-sync"))
    command = [program, "--set", f"beacon.spool_dir={tmp_path}", "import", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 78
    assert "authority.url" in done.stderr


async def test_a_stick_after_a_visit_asks_the_network_anew(ward: Ward, box: Box, tmp_path: Path) -> None:
    """The visit's ETag goes: else a 304 would leave the box with the older list of the stick."""
    publish(ward, NOON)
    box.spool.memory.write("state", b'{"etag": "\\"of a newer one\\""}')

    box.take(copied(ward, tmp_path / "stick"))

    assert json.loads(box.spool.memory.read("state") or b"")["etag"] == ""


TAKER = """
import sys
from pathlib import Path
from bluezoned.feed import visit
from bluezoned.feed.directory import Directory
from tests.feed.deaths import die_at_each

stick, spools = sys.argv[1:]
die_at_each(spools, lambda spool: visit.take_in(Directory(Path(stick)), spool))
"""


async def test_a_kill_at_any_file_operation_is_made_good_by_the_same_stick(ward: Ward, tmp_path: Path) -> None:
    """Drawn out too early, or the plug with it."""
    publish(ward, NOON)
    publish(ward, NOON + HOUR)
    stick = copied(ward, tmp_path / "stick")
    spools = tmp_path / "spools"
    spools.mkdir()
    command = [sys.executable, "-c", TAKER, str(stick), str(spools)]
    survivor = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    killed = [Spool(spools / str(nth)) for nth in range(1, int(survivor))]
    reports = [await visit.take_in(Directory(stick), spool) for spool in killed]

    assert len(killed) > 10
    assert [report.problems for report in reports if report.problems] == []
    for spool in killed:
        assert spool.inbox.read("index") == (stick / "index").read_bytes()
        laid = [spool.inbox.read(name) for name in spool.inbox.names("batch-")]
        assert laid == [(stick / "batches" / batch.name).read_bytes() for batch in ward.index().batches]
