"""A publishing run killed at each point where it touches the file system: the next one makes the feed whole.

The kill is real (SIGKILL to a forked process); the point is counted by the interpreter's audit events, which come right
before a file is opened, locked, renamed, listed or removed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path

import pytest

from bluezoned.authority import settings
from bluezoned.authority.verification import HOUR
from bluezoned.protocols.protocol import Tier
from tests.authority.conftest import settings as with_database
from tests.authority.postgres import Postgres
from tests.authority.ward import NOON, Ward, key, message

POINTS = frozenset({"open", "os.mkdir", "os.rename", "os.remove", "os.scandir", "os.listdir", "fcntl.flock"})


def publish_and_die(directory: Path, nth: int) -> bool:
    """A run in a process that is killed before its `nth` touch; whether it came that far."""
    child = os.fork()
    if child == 0:
        try:
            publisher = Ward(directory).publisher
            touches = count(1)

            def touch(event: str, _: tuple[object, ...]) -> None:
                if event in POINTS and next(touches) == nth:
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(touch)
            publisher.publish(NOON + HOUR)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def copied(ward: Ward, copy: Path, request: pytest.FixtureRequest) -> Path:
    """The directory and its database, which nobody has open."""
    shutil.copytree(ward.directory, copy)
    url = settings.read(copy / "authority.toml").database.url
    if url:
        server: Postgres = request.getfixturevalue("postgres_server")
        name = server.make_database(url.partition("@/")[2].partition("?")[0])
        (copy / "authority.toml").write_text(with_database(server.url(name)))
    return copy


def test_killed_before_every_touch_of_a_file_the_feed_becomes_whole(
    ward: Ward, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    fallen = ward.authority.open_case(Tier.F0, NOON)
    taken, kept = key(), [key(), key(protocol="gaen"), key(protocol="dp3t")]
    ward.send_for(fallen.id, taken)
    ward.publisher.publish(NOON)
    for sent in kept:
        ward.send(message(ward.code(), sent), NOON)
    ward.authority.revoke(fallen.id, NOON)
    ward.database.close()

    for nth in count(1):
        copy = copied(ward, tmp_path / str(nth), request)
        was_killed = publish_and_die(copy, nth)
        again = Ward(copy)
        again.publisher.publish(NOON + 2 * HOUR)
        again.require_whole()
        exports = again.exports()
        again.database.close()

        published = sorted(bytes(k.secret) for export in exports for k in export.keys)
        assert published == sorted(bytes(k.secret) for k in [taken, *kept])
        assert [bytes(k.secret) for export in exports for k in export.revoked] == [taken.secret]
        if not was_killed:
            break

    assert nth > 20
