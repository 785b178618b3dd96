"""A fleet that asks for what it has costs the database nothing."""

from __future__ import annotations

from typing import Any

from litestar.testing import AsyncTestClient
from sqlalchemy import event

from bluezoned.authority import server
from bluezoned.authority.api.feed import Feed
from bluezoned.clock import ManualClock
from tests.authority.ward import NOON, Ward, message


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
