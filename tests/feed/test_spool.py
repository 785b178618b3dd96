"""The spool: files are whole or absent, bounded, and never trusted by their reader."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.errors import StoreError
from bluezoned.feed import spool as spool_names
from bluezoned.feed.spool import Box, Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def test_what_was_written_is_read_and_removed(spool: Spool) -> None:
    spool.outbox.write("upload-00ff", b"sealed")
    spool.outbox.write("upload-00ff", b"sealed again")

    assert spool.outbox.read("upload-00ff") == b"sealed again"
    spool.outbox.remove("upload-00ff")
    spool.outbox.remove("upload-00ff")
    assert spool.outbox.read("upload-00ff") is None
    assert spool.outbox.names() == []


def test_batches_are_listed_by_sequence(spool: Spool) -> None:
    for sequence in (10, 9, 100):
        spool.inbox.write(spool_names.batch_name(sequence, "gaen"), b"")
    spool.inbox.write("index", b"")

    assert [spool_names.sequence_of(name) for name in spool.inbox.names("batch-")] == [9, 10, 100]
    assert len(spool.inbox.names()) == 4


def test_only_the_owner_reads(spool: Spool, tmp_path: Path) -> None:
    spool.inbox.write("index", b"")

    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {
        "spool": 0o700,
        "spool/inbox": 0o700,
        "spool/inbox/index": 0o600,
        "spool/outbox": 0o700,
        "spool/memory": 0o700,
    }


@pytest.fixture
def handed_down(tmp_path: Path) -> Path:
    """A directory that hands its group down, as systemd-tmpfiles makes /var/spool/bluezoned."""
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o2770)
    return above


def test_a_group_that_is_handed_down_reads(handed_down: Path) -> None:
    before = os.umask(0o077)
    try:
        Spool(handed_down / "spool").inbox.write("index", b"")
    finally:
        os.umask(before)

    modes = {str(path.relative_to(handed_down)): path.stat().st_mode & 0o7777 for path in handed_down.rglob("*")}
    assert modes == {
        "spool": 0o2770,
        "spool/inbox": 0o2770,
        "spool/inbox/index": 0o640,
        "spool/outbox": 0o2770,
        "spool/memory": 0o2770,
    }


DAEMON, SYNC, SHARED = 64_901, 64_902, 64_903
"""Two users and a group that no machine has, in place of bluezoned, bluezoned-sync and bluezoned-spool."""


@pytest.fixture
def spool_of_two() -> Iterator[Path]:
    """A spool as its two users find it; not in pytest's directory, which is closed to others."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        directory = Path(place) / "spool"
        directory.mkdir()
        os.chown(directory, DAEMON, SHARED)
        directory.chmod(0o2770)
        yield directory


AS_USER = """
import os, sys
from pathlib import Path
from bluezoned.feed.spool import Spool
# Root reads the interpreter, which may lie in its home; then it becomes the user, under the umask of the service.
os.umask(0o077)
os.setgroups([int(sys.argv[3])])
os.setresgid(*3 * [int(sys.argv[2])])
os.setresuid(*3 * [int(sys.argv[2])])
spool = Spool(Path(sys.argv[1]))
"""


def ran_as(user: int, program: str, directory: Path, group: int = SHARED) -> str:
    """What went wrong in `program`, run with `spool` as one of the two users; empty when nothing did."""
    command = [sys.executable, "-c", AS_USER + program, str(directory), str(user), str(group)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


as_two_users = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")


@as_two_users
@pytest.mark.parametrize("first", [DAEMON, SYNC])
def test_two_users_hand_each_other_files(first: int, spool_of_two: Path) -> None:
    made = ran_as(first, "", spool_of_two)
    out = ran_as(DAEMON, "spool.outbox.write('upload-00', b'sealed')", spool_of_two)
    posted = ran_as(
        SYNC,
        "with spool.exclusive():\n"
        "  assert spool.outbox.read('upload-00') == b'sealed'\n"
        "  spool.outbox.remove('upload-00')\n"
        "  spool.inbox.write('receipt-00', b'answer')",
        spool_of_two,
    )
    taken = ran_as(
        DAEMON,
        "assert spool.inbox.read('receipt-00') == b'answer'\nspool.inbox.remove('receipt-00')",
        spool_of_two,
    )

    assert [made, out, posted, taken] == ["", "", "", ""]
    assert [path.name for path in spool_of_two.rglob("*") if path.is_file()] == ["lock"]


@as_two_users
def test_a_stranger_cannot_look_into_the_spool_of_two(spool_of_two: Path) -> None:
    ran_as(DAEMON, "spool.outbox.write('upload-00', b'sealed')", spool_of_two)

    seen = ran_as(64_904, "print(spool.outbox.names())", spool_of_two, group=64_904)

    assert "Permission denied" in seen


@as_two_users
def test_a_planted_link_does_not_lead_a_writer_to_its_own_secret(spool_of_two: Path) -> None:
    state = spool_of_two.parent / "bluezoned.db"
    state.write_bytes(b"keys")
    os.chown(state, DAEMON, DAEMON)
    program = (
        "import os\n"
        "name = f'upload-00.{os.getpid()}.tmp'\n"
        "(spool.outbox.directory / name).symlink_to(sys.argv[1] + '/../bluezoned.db')\n"
        "spool.outbox.write('upload-00', b'sealed')\n"
    )

    complaints = ran_as(DAEMON, program, spool_of_two)

    assert complaints == ""
    assert state.read_bytes() == b"keys"
    assert (spool_of_two / "outbox" / "upload-00").read_bytes() == b"sealed"


@pytest.mark.parametrize("name", ["", "../index", "batch-1-../x.zip", "index/", "upload-", "upload-XY", "notes.txt"])
def test_other_names_are_refused(name: str, spool: Spool) -> None:
    with pytest.raises(StoreError, match="no name of a spool file"):
        spool.inbox.write(name, b"")
    with pytest.raises(StoreError, match="no name of a spool file"):
        spool.inbox.read(name)
    with pytest.raises(StoreError, match="no name of a spool file"):
        spool.inbox.remove(name)


@given(st.text(st.sampled_from("./\\\0a-\n")))
def test_no_name_of_a_batch_leads_out_of_the_inbox(name: str) -> None:
    try:
        made = spool_names.batch_name(1, name)
    except StoreError:
        return
    assert Path(made).name == made


def test_names_belong_together() -> None:
    upload = spool_names.upload_name(bytes.fromhex("00ff"))

    assert upload == "upload-00ff"
    assert spool_names.receipt_name(upload) == "receipt-00ff"
    assert spool_names.batch_name(7, "7-gaen.zip") == "batch-7-7-gaen.zip"


def test_sizes_are_bounded(spool: Spool) -> None:
    with pytest.raises(StoreError, match="limit"):
        spool.outbox.write("upload-00", bytes(spool_names.limit("upload-00") + 1))

    assert spool.outbox.names() == []
    assert list(spool.outbox.directory.iterdir()) == []


def test_the_box_is_bounded(spool: Spool) -> None:
    with (spool.inbox.directory / "index").open("wb") as sparse:
        sparse.truncate(spool_names.CAPACITY - 10)

    with pytest.raises(StoreError, match="spool is full"):
        spool.inbox.write("receipt-00", bytes(11))
    spool.inbox.write("receipt-00", bytes(10))


def test_a_failed_writer_leaves_the_old_content(spool: Spool) -> None:
    spool.inbox.write("index", b"old")

    with contextlib.suppress(ConnectionError), spool.inbox.writing("index") as file:
        file.write(b"half of the ne")
        raise ConnectionError

    assert spool.inbox.read("index") == b"old"
    assert [path.name for path in spool.inbox.directory.iterdir()] == ["index"]


def test_what_a_killed_writer_left_is_cleaned(spool: Spool) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from bluezoned.feed.spool import Box
with Box(Path(sys.argv[1])).writing("index") as file:
    file.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program, str(spool.inbox.directory)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(spool.inbox.directory.iterdir())) == 1
    assert spool.inbox.names() == []

    spool.inbox.clean()

    assert list(spool.inbox.directory.iterdir()) == []


def test_a_strangers_directory_does_not_stop_the_cleaning(spool: Spool) -> None:
    (spool.inbox.directory / "index.1.tmp").mkdir()
    (spool.inbox.directory / "index.2.tmp").touch()

    spool.inbox.clean()

    assert [path.name for path in spool.inbox.directory.iterdir()] == ["index.1.tmp"]


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may pass 1000 bytes; the kernel says EFBIG as it would say ENOSPC. For a moment only: the
    test runner's own report may be such a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named(spool: Spool) -> None:
    with pytest.raises(StoreError, match="the disk is full"), full_disk():
        spool.inbox.write("index", bytes(1001))

    assert list(spool.inbox.directory.iterdir()) == []


def test_reader_opens_plain_files_only(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (spool.inbox.directory / "index").symlink_to(tmp_path / "secret")
    os.mkfifo(spool.inbox.directory / "receipt-00")

    for name in ("index", "receipt-00"):
        with pytest.raises(StoreError):
            spool.inbox.read(name)


def test_reader_bounds_what_a_stranger_put_there(spool: Spool) -> None:
    (spool.inbox.directory / "receipt-00").write_bytes(bytes(spool_names.limit("receipt-00") + 1))
    (spool.inbox.directory / "receipt-00.bak").write_bytes(b"")

    assert spool.inbox.names() == ["receipt-00"]
    with pytest.raises(StoreError, match="plain file of at most"):
        spool.inbox.read("receipt-00")


def test_errors_name_no_upload(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        Box(tmp_path / "absent").write("upload-00ff", b"")

    assert "00ff" not in str(caught.value)


def test_one_sync_at_a_time(spool: Spool, tmp_path: Path) -> None:
    with (
        spool.exclusive(),
        pytest.raises(StoreError, match="another bluezoned-sync"),
        Spool(tmp_path / "spool").exclusive(),
    ):
        pass

    with spool.exclusive():
        pass
