"""The page over HTTP, to this machine alone."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import tzinfo
from importlib import resources

from aiohttp import web

from bluezoned.control.report import StatusReport
from bluezoned.display import page

log = logging.getLogger(__name__)

HOST = "127.0.0.1"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Ask = Callable[[], Awaitable[StatusReport | None]]
"""How the box is; None while no daemon answers."""


def application(ask: Ask, port: int, zone: tzinfo | None = None) -> web.Application:
    """Three things to get, and nothing to change."""
    hosts = {f"{HOST}:{port}", f"localhost:{port}"}
    static = resources.files("bluezoned.display") / "static"

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        # A page elsewhere may have its name resolve to this machine; its browser then names that page here.
        response = await handler(request) if request.host in hosts else web.Response(status=421)
        response.headers.update(HEADERS)
        return response

    async def whole(_: web.Request) -> web.Response:
        return web.Response(text=page.html(await ask(), zone), content_type="text/html")

    async def status(_: web.Request) -> web.Response:
        return web.json_response(page.parts(await ask(), zone))

    def file(name: str, kind: str) -> web.RouteDef:
        text = (static / name).read_text()

        async def get(_: web.Request) -> web.Response:
            return web.Response(text=text, content_type=kind)

        return web.get(f"/{name}", get)

    app = web.Application(middlewares=[guard])
    app.add_routes([web.get("/", whole), web.get("/status.json", status)])
    app.add_routes([file("page.css", "text/css"), file("page.js", "text/javascript")])
    return app


@asynccontextmanager
async def serving(ask: Ask, port: int, zone: tzinfo | None = None) -> AsyncIterator[None]:
    """Until the block ends. OSError when the port is taken."""
    runner = web.AppRunner(application(ask, port, zone), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield
    finally:
        await runner.cleanup()
