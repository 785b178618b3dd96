"""The whole job with the real programs, as `make demo` plays it: every protocol, pulled plugs, and nothing leaked."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bluezoned.demo import story
from bluezoned.demo.director import Director, Scene
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY
from bluezoned.storage import open_store


class Listener:
    """An audience that writes everything down."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, scene: Scene, line: str) -> None:
        self.heard.append(line)
        self.heard += [json.dumps(asdict(status)) for status in scene.status.values()]


def secrets_of(directory: Path, protocol_name: str) -> set[bytes]:
    """Every key, identifier and sealed byte that the boxes hold or have had on the air."""
    protocol = registry.by_name(protocol_name)
    found: set[bytes] = set()
    for name in story.NAMES:
        with open_store(directory / name / "state", {}) as store:
            for key in store.own_keys(protocol_name):
                found |= {key.secret, key.order}
                found |= {window.rolling_id for window in protocol.expand(protocol.publish(key, key.end))}
            for encounter in store.encounters(0, story.DAY_1 + 10 * DAY):
                found |= {encounter.payload.rolling_id, encounter.payload.metadata or b""}
    return {bytes(secret) for secret in found if secret}


def spellings(secret: bytes) -> set[str]:
    """How a careless line would print it."""
    return {
        secret.hex(),
        secret.hex().upper(),
        base64.b64encode(secret).decode().rstrip("="),
        repr(secret)[2:-1],
        str(list(secret)),
        str(int.from_bytes(secret)),
    }


@pytest.mark.parametrize("protocol", registry.NAMES)
async def test_every_light_shows_what_it_must_and_nothing_leaks(protocol: str, tmp_path: Path) -> None:
    listener = Listener()
    director = Director(protocol, tmp_path, listener, kills=0, seed=1)

    outcomes = await director.play()

    assert [(o.act, o.observed) for o in outcomes] == [(o.act, o.expected) for o in outcomes]
    assert len(outcomes) == 5
    told = "\n".join(listener.heard) + "".join(log.read_text() for log in tmp_path.glob("*.log"))
    assert "batch 1 applied" in told
    secrets = secrets_of(tmp_path, protocol)
    assert len(secrets) > 200
    assert [len(secret) for secret in secrets if any(spelling in told for spelling in spellings(secret))] == []


async def test_twenty_pulled_plugs_change_nothing(tmp_path: Path) -> None:
    director = Director("bluezone", tmp_path, Listener(), kills=20, seed=2026)

    outcomes = await director.play()

    assert len(director.killed) == 20
    assert {"authority", "sync"} < set(director.killed)
    assert [(o.act, o.observed) for o in outcomes] == [(o.act, o.expected) for o in outcomes]
