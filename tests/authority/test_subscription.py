"""One authority follows another: two real servers on one desk, and everything that the follower must not believe."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bluezoned import key_export, transparency_log, upload
from bluezoned.authority.cli.program import main
from bluezoned.authority.house import found_house, rotate_signing_key
from bluezoned.authority.import_store import Subscription
from bluezoned.authority.imports import Imported, ImportRefused
from bluezoned.authority.subscription import wanted_tiles
from bluezoned.authority.verification import HOUR
from bluezoned.cli.program import main as bluezonectl
from bluezoned.errors import AuthorityError
from bluezoned.fork_evidence import ForkEvidence
from bluezoned.protocols.protocol import DAY, Tier
from bluezoned.radio.desk import Desk
from bluezoned.radio.ether import Ether
from bluezoned.signed_document import DocumentError
from bluezoned.transparency_log import TILE, Contradiction, LogError
from tests.authority.conftest import settings
from tests.authority.test_server import NOON as SERVED_NOON
from tests.authority.test_server import Served, sealed
from tests.authority.ward import NOON, Ward, key

# two servers


@pytest_asyncio.fixture
async def hue_and_ward(tmp_path: Path) -> AsyncIterator[tuple[Served, Served]]:
    async with Desk(Ether(), SERVED_NOON, tmp_path / "desk") as desk:
        both = [Served(tmp_path / name, desk, tmp_path / "desk") for name in ("hue", "ward")]
        for each in both:
            each.data.mkdir(parents=True)
            (each.data / "authority.toml").write_text(settings(""))
            await each.act("init", "--yes", at_desk=False)
            await each.start()
        yield both[0], both[1]
        for each in both:
            await each.stop()


async def told(served: Served) -> dict[bytes, Tier]:
    """Every key that boxes of that authority are told and that was not taken back."""
    found: dict[bytes, Tier] = {}
    async with aiohttp.ClientSession() as session:
        signer = await served.public_key(session)
        for batch in (await served.index(session)).batches:
            async with session.get(f"{served.url}/v1/batches/{batch.name}") as response:
                export = key_export.read(await response.read(), signer)
            found |= {bytes(each.secret): each.tier for each in export.keys}
            for each in export.revoked:
                found.pop(bytes(each.secret), None)
    return found


async def test_follower_tells_its_boxes_what_the_other_authority_published_and_takes_it_back(
    hue_and_ward: tuple[Served, Served], tmp_path: Path
) -> None:
    hue, ward = hue_and_ward
    secret = os.urandom(32)
    async with aiohttp.ClientSession() as session:
        pem = (await hue.public_key(session)).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        body = sealed(hue.code(), (await hue.index(session)).sealing_key, secret)
        async with session.post(f"{hue.url}/v1/uploads", data=body) as response:
            assert len(await response.read()) == upload.RECEIPT_SIZE
    (tmp_path / "hue.pem").write_bytes(pem)
    await ward.act("subscribe", "hue", hue.url, "--public-key", str(tmp_path / "hue.pem"), at_desk=False)

    # Hue publishes at one o'clock, Ward looks there at half past and publishes at two.
    await ward.desk.advance(SERVED_NOON + 3 * HOUR)
    assert await told(ward) == {secret: Tier.F0}

    house = hue.house()
    ((case, _),) = house.authority.cases()
    house.authority.revoke(case.id, ward.desk.now)
    house.close()
    await ward.desk.advance(SERVED_NOON + 6 * HOUR)
    assert await told(ward) == {}

    listed = await ward.act("subscriptions", at_desk=False)
    assert (listed["newest_batch"], listed["problem"], listed["fork"]) == (2, "", False)
    assert (await ward.act("follow"))["new"] == 0


# what is believed


class Follower:
    """Follows a ward without a network between them."""

    def __init__(self, ward: Ward, hue: Ward) -> None:
        self.ward, self.hue = ward, hue
        ward.house.subscriptions.add("hue", "https://hue.example", hue.public_key, None)

    @property
    def state(self) -> Subscription:
        (found,) = self.ward.house.subscriptions.all()
        return found

    def published(self, name: str) -> bytes:
        return (self.hue.directory / "public" / name).read_bytes()

    def visit(self, at: int, index: bytes | None = None, log: bytes | None = None) -> Imported:
        subscriptions, state = self.ward.house.subscriptions, self.state
        log = log or self.published("log")
        tiles = [self.published(f"leaves/{tile}") for tile in wanted_tiles(state, log)]
        word = subscriptions.judge(state, index or self.published("index"), log, tiles, at)
        taken = Imported()
        for batch in word.index.batches:
            if batch.sequence > state.newest_batch:
                content = self.published(f"batches/{batch.name}")
                taken += subscriptions.take(state, word, batch, BytesIO(content), at)
        subscriptions.done(state, word, at)
        return taken

    def tell_one(self, at: int) -> None:
        case = self.hue.authority.open_case(Tier.F0, at)
        self.hue.send_for(case.id, key(start=at - at % DAY - DAY), at=at)
        self.hue.publisher.publish(at)


def founded(directory: Path) -> Ward:
    directory.mkdir()
    (directory / "authority.toml").write_text(settings(""))
    found_house(directory, "hue", os.urandom)
    return Ward(directory)


@pytest.fixture
def follower(ward: Ward, tmp_path: Path) -> Iterator[Follower]:
    hue = founded(tmp_path / "hue")
    yield Follower(ward, hue)
    hue.database.close()


def test_each_batch_is_taken_once(follower: Follower) -> None:
    follower.tell_one(NOON)
    follower.tell_one(NOON + HOUR)

    assert follower.visit(NOON + HOUR) == Imported(new=2)
    assert follower.visit(NOON + HOUR) == Imported()
    follower.tell_one(NOON + 2 * HOUR)
    assert follower.visit(NOON + 2 * HOUR) == Imported(new=1)
    assert (follower.state.newest_batch, follower.state.visited) == (3, NOON + 2 * HOUR)


def test_fork_is_refused_and_kept_as_evidence_and_all_else_stays(follower: Follower, tmp_path: Path) -> None:
    follower.tell_one(NOON)
    follower.visit(NOON)
    before = follower.state
    # The insider has the key, and publishes another history for this reader.
    insider = founded(tmp_path / "insider")
    signing_key = follower.hue.house.secrets.signing_key
    for number in range(3):
        case = insider.authority.open_case(Tier.F0, NOON)
        insider.send_for(case.id, key(), at=NOON)
        insider.publisher.publish(NOON + number * HOUR)
    forged = transparency_log.peek((insider.directory / "public" / "log").read_bytes())
    insider.database.close()
    signed = transparency_log.write(forged, signing_key)

    believed = follower.published("log")

    with pytest.raises(LogError) as refused:
        follower.visit(NOON + 2 * HOUR, log=signed)

    assert refused.value.contradiction is Contradiction.FORK
    assert follower.state.fork == ForkEvidence(signed, believed)
    assert (follower.state.seen, follower.state.newest_batch) == (before.seen, before.newest_batch)
    follower.tell_one(NOON + 3 * HOUR)
    assert follower.visit(NOON + 3 * HOUR) == Imported(new=1)
    # Somebody else verifies it, with nothing but the other authority's key.
    data = ("hue", "--data", str(follower.ward.directory))
    written = CliRunner().invoke(main, ("fork", *data, "--json"))
    told = CliRunner().invoke(main, ("fork", *data))
    evidence, pem = tmp_path / "evidence.json", tmp_path / "hue.pem"
    evidence.write_text(written.output)
    pem.write_bytes(follower.hue.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    judged = CliRunner().invoke(bluezonectl, ("inspect-fork", str(evidence), "--public-key", str(pem), "--json"))
    assert judged.exit_code == 0
    assert json.loads(judged.output)["is_fork"]
    assert [line.split()[:2] for line in told.output.splitlines()] == [["refused:", "3"], ["believed:", "1"]]


def test_no_fork_is_said(follower: Follower) -> None:
    follower.tell_one(NOON)
    follower.visit(NOON)

    for name, why in (("hue", "there is no fork"), ("hanoi", "no such subscription")):
        asked = CliRunner().invoke(main, ("fork", name, "--data", str(follower.ward.directory), "--json"))
        assert (asked.exit_code, asked.stdout) == (1, "")
        assert why in asked.stderr


def test_server_that_is_turned_back_is_refused(follower: Follower) -> None:
    follower.tell_one(NOON)
    index, log = follower.published("index"), follower.published("log")
    follower.tell_one(NOON + HOUR)
    follower.visit(NOON + HOUR)

    with pytest.raises(LogError, match="turned back"):
        follower.visit(NOON + 2 * HOUR, index, log)
    with pytest.raises(AuthorityError, match="turned back"):
        follower.visit(NOON + 2 * HOUR, index)


def test_index_that_has_expired_is_not_believed(follower: Follower) -> None:
    follower.tell_one(NOON)

    with pytest.raises(AuthorityError, match="expired"):
        follower.visit(NOON + 15 * DAY)


def test_another_key_is_not_believed(follower: Follower, tmp_path: Path) -> None:
    follower.tell_one(NOON)
    stranger = founded(tmp_path / "stranger")
    stranger.publisher.publish(NOON)
    log = (stranger.directory / "public" / "log").read_bytes()
    stranger.database.close()

    with pytest.raises(DocumentError):
        follower.visit(NOON, log=log)
    assert follower.state.seen.size == 0


def test_batch_that_is_in_no_log_is_not_taken(follower: Follower) -> None:
    """The signing key alone is not enough: what nobody else was shown is taken from nobody."""
    follower.tell_one(NOON)
    log = follower.published("log")
    follower.tell_one(NOON + HOUR)

    with pytest.raises(AuthorityError, match="log"):
        follower.visit(NOON + HOUR, log=log)
    assert follower.state.newest_batch == 1


def test_batch_that_was_changed_is_not_taken(follower: Follower) -> None:
    follower.tell_one(NOON)
    (file,) = follower.hue.files.iterdir()
    file.write_bytes(file.read_bytes() + b"\0")

    with pytest.raises(AuthorityError, match="as its index lists it"):
        follower.visit(NOON)
    assert follower.state.newest_batch == 0


def test_replaced_signing_key_is_followed(follower: Follower) -> None:
    follower.tell_one(NOON)
    rotate_signing_key(follower.hue.directory, NOON + 1, os.urandom)
    follower.hue.database.close()
    follower.hue = Ward(follower.hue.directory)
    follower.tell_one(NOON + HOUR)

    assert follower.visit(NOON + HOUR) == Imported(new=2)


def test_long_absence_is_bridged_by_the_archive(follower: Follower) -> None:
    follower.tell_one(NOON)
    follower.visit(NOON)
    for day in range(1, TILE + 20):
        follower.hue.publisher.publish(NOON + day * DAY)
    at = NOON + (TILE + 20) * DAY
    follower.tell_one(at)
    assert len(wanted_tiles(follower.state, follower.published("log"))) == 1

    assert follower.visit(at) == Imported(new=1)


def test_nobody_follows_itself_or_one_name_twice(follower: Follower) -> None:
    subscriptions, other = follower.ward.house.subscriptions, ec.generate_private_key(ec.SECP256R1()).public_key()

    with pytest.raises(ImportRefused, match="own key"):
        subscriptions.add("me", "https://ward.example", follower.ward.public_key, None)
    with pytest.raises(ImportRefused, match="already"):
        subscriptions.add("hue", "https://hue.example", other, None)
    subscriptions.remove("hue")
    with pytest.raises(ImportRefused, match="no such"):
        subscriptions.remove("hue")


def test_other_authority_that_is_away_is_told_by_command_and_check(follower: Follower) -> None:
    follower.ward.house.subscriptions.remove("hue")
    follower.ward.house.subscriptions.add("hue", "http://127.0.0.1:9", follower.hue.public_key, None)

    done = CliRunner().invoke(main, ["follow", "--data", str(follower.ward.directory)])
    checked = CliRunner().invoke(main, ["check", "--data", str(follower.ward.directory)])

    assert (done.exit_code, checked.exit_code) == (1, 1)
    assert "hue" in done.stderr
    assert "hue, which is followed, was not taken in" in checked.stdout


def test_address_that_tells_the_line_whom_one_follows_is_refused(follower: Follower, tmp_path: Path) -> None:
    pem = follower.hue.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "hue.pem").write_bytes(pem)
    words = ["subscribe", "other", "http://hue.example", "--public-key", str(tmp_path / "hue.pem")]

    done = CliRunner().invoke(main, [*words, "--data", str(follower.ward.directory)])

    assert done.exit_code == os.EX_CONFIG
    assert follower.state.name == "hue"
