"""A fleet that asks for what it has costs the database nothing, and an upload a handful of statements."""

from __future__ import annotations

from typing import Any

from litestar.testing import AsyncTestClient
from sqlalchemy import event

from bluezoned import upload
from bluezoned.authority import server
from bluezoned.authority.api.feed import Feed
from bluezoned.authority.verification import Kind
from bluezoned.clock import ManualClock
from bluezoned.protocols.protocol import DAY
from tests.authority.ward import MIDNIGHT, NOON, Ward, key, message


async def test_index_and_batches_are_served_without_a_statement(ward: Ward) -> None:
    assert ward.send(message(ward.code()), NOON).accepted
    ward.publisher.publish(NOON)
    statements: list[str] = []

    def note(*told: Any) -> None:
        statements.append(told[2])

    app = server.application(ward.house, ManualClock(NOON), 1)
    async with AsyncTestClient(app=app):  # starts what the application needs
        client = AsyncTestClient(app=Feed(ward.publisher.shelf, app))
        event.listen(ward.database._engine, "before_cursor_execute", note)
        first = await client.get("/v1/index")
        batch = await client.get(f"/v1/batches/{ward.index().batches[0].name}")
        again = [await client.get("/v1/index", headers={"If-None-Match": first.headers["ETag"]}) for _ in range(100)]
        of_the_feed = list(statements)
        health = await client.get("/health")

    assert (first.status_code, batch.status_code, health.status_code) == (200, 200, 200)
    assert {answer.status_code for answer in again} == {304}
    assert of_the_feed == []
    assert statements != []  # the count counts


def test_upload_asks_no_more_than_it_must_however_many_keys_it_has(ward: Ward) -> None:
    """Each statement costs the worker as much CPU as opening the message."""
    statements: list[str] = []
    days = [key(MIDNIGHT - days * DAY) for days in range(1, 14)]
    sealed = [ward.seal(message(ward.code(kind=Kind.LONG), *keys)) for keys in (days[:1], days[1:])]
    event.listen(ward.database._engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    counts = []
    for body in sealed:
        statements.clear()
        assert upload.read_receipt(ward.authority.accept(body, NOON), ward.public_key).accepted
        counts.append(len([said for said in statements if not said.startswith("BEGIN")]))

    # Lock, look, the code, the upload, the keys with what waits: SQLite puts the last two one after the other.
    assert counts == ([5, 5] if ward.database._engine.dialect.name == "postgresql" else [6, 6])
