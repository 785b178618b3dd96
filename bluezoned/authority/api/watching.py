"""For who watches over the server: whether it lives, whether it does its work, and what there is, in numbers.

The numbers come from the database, so that every worker tells the same; none is about a person or a place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from litestar import Request, Response, Router, get
from litestar.exceptions import HTTPException, NotFoundException
from litestar.openapi.datastructures import ResponseSpec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bluezoned import __version__
from bluezoned.authority.house import House
from bluezoned.clock import Clock

_PREFIX = "bluezone_authority"


def router(house: House, clock: Clock) -> Router:
    """`/ready` and `/metrics`."""

    @get(
        "/ready",
        summary="Whether the database answers and publishing goes on",
        description="503 when the index is older than two publishing runs: `/health` may be well all the same.",
        responses={503: ResponseSpec(dict[str, str], description="It does not", generate_examples=False)},
    )
    async def ready() -> dict[str, str | int]:
        age = await asyncio.to_thread(_age, house, clock.now())
        if age > 2 * house.settings.publish.every_s:
            raise HTTPException("nothing was published for too long: see the log for why", status_code=503)
        return {"status": "ok", "index_age_seconds": age}

    @get(
        "/metrics",
        summary="Numbers for Prometheus",
        description="For this machine alone: a proxy's requests are answered 404.",
        media_type="text/plain",
        responses={
            404: ResponseSpec(dict[str, str], description="Asked from elsewhere", generate_examples=False),
            503: ResponseSpec(dict[str, str], description="The database does not answer", generate_examples=False),
        },
    )
    async def metrics(request: Request[Any, Any, Any]) -> Response[str]:
        client = request.client.host if request.client else ""
        if client not in ("127.0.0.1", "::1") or "x-forwarded-for" in request.headers:
            raise NotFoundException("there is nothing here")
        registry = CollectorRegistry()
        registry.register(_Numbers(house, clock.now()))
        content = await asyncio.to_thread(generate_latest, registry)
        return Response(content.decode(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Router("/", route_handlers=[ready, metrics], tags=["operations"])


def _age(house: House, at: int) -> int:
    """Seconds since the index was signed; since 1970 when it never was."""
    with house.store.snapshot() as seen:
        return max(0, at - seen.fact("index issued")) // 1000


class _Numbers(Collector):
    """What the database says at one moment."""

    def __init__(self, house: House, at: int) -> None:
        self._house = house
        self._at = at

    def collect(self) -> Iterator[Metric]:
        with self._house.store.snapshot() as seen:
            counts = seen.counts(self._at)
            issued, newest = seen.fact("index issued"), seen.fact("newest batch")
        guessing = self._house.authority.guessing(self._at)
        told = {
            **{name: (f"How many {name.replace('_', ' ')} there are", count) for name, count in counts.items()},
            "newest_batch": ("Number of the newest batch", newest),
            "index_issued_timestamp_seconds": ("When the index was signed last", issued / 1000),
            "wrong_short_codes_last_day": ("Wrong short codes of the last 24 hours", guessing.last_day),
            "short_codes_refused": ("1 while short codes are refused because somebody guesses", int(guessing.is_shut)),
        }
        for name, (text, value) in told.items():
            yield GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=value)
        info = GaugeMetricFamily(f"{_PREFIX}_build_info", "Which version this is", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
