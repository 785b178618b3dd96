"""bluezone-authority serve: one process, or several workers on one socket."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import uvicorn

from bluezoned import service
from bluezoned.authority import server
from bluezoned.authority.api.feed import Feed
from bluezoned.authority.cli.context import credentials, data_option, desk_option, in_groups, opened, told
from bluezoned.authority.cli.following import follow_for_ever
from bluezoned.authority.house import House, open_house
from bluezoned.clock import Clock, SystemClock
from bluezoned.errors import AuthorityError, BluezonedError
from bluezoned.radio import desk

try:
    import uvloop
except ImportError:  # not made for every machine
    uvloop = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

RESTART_WAIT = 1.0
"""Seconds before a worker that died is started again: one that cannot start must not keep the machine busy."""


@click.command()
@data_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes; one a core.")
@desk_option
def serve(data: Path, host: str, port: int, workers: int, desk_socket: Path | None) -> None:
    """Serve boxes and publish on schedule, until stopped. Put a proxy with TLS in front for the world."""
    service.to_where_it_is_read("bluezone-authority", "info", os.environ)
    if workers == 1:
        with opened(data) as house, _bound(host, port) as listener:
            _run(_serve(house, listener, desk_socket, service.notify_ready), desk_socket)
        return
    with told(), _bound(host, port) as listener:
        # Founded, and its database of the newest revision, before anybody serves it.
        open_house(data, secrets.token_bytes, credentials()).close()
        _Workers(data, listener, desk_socket, workers).run()


def _run(serving: Coroutine[Any, Any, None], desk_socket: Path | None) -> None:
    """With the faster loop where it is installed; a desk moves the time of Python's own."""
    if uvloop is None or desk_socket is not None:
        asyncio.run(serving)
    else:
        uvloop.run(serving)


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that nobody can reach yet: who is answered shall find an index, and time on a desk cannot pass before
    there is one."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise AuthorityError(f"cannot listen on {host}, port {port} ({error.strerror}): choose others with --host "
                                 "and --port") from error  # fmt: skip
        yield listener


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them once more when it has stopped, and the process would die before a
    publishing run has ended and the database is closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    house: House, listener: socket.socket, desk_socket: Path | None, ready: server.Ready = lambda _: None
) -> None:
    async with AsyncExitStack() as stack:
        clock: Clock = SystemClock()
        if desk_socket is not None:
            clock = await stack.enter_async_context(desk.join_clock(desk_socket))
        config = uvicorn.Config(
            Feed(house.publisher.shelf, server.application(house, clock, listener.getsockname()[1])),
            # No access log: it would keep who asked when.
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=10,
            server_header=False,
        )
        serving = _Server(config)
        # Before anything is published: who is stopped in the midst of that ends it and gives its lease back.
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, serving.handle_exit, number, None)
        await server.publish_once(house, clock)
        if serving.should_exit:
            service.notify_stopping()
            return
        if not house.personnel.is_staffed() and "JOURNAL_STREAM" not in os.environ:
            # Not into the journal, which more people read than may be administrators: `init` has said it too.
            portal = house.settings.portal.origin or f"http://localhost:{listener.getsockname()[1]}"
            word = in_groups(house.personnel.setup_word)
            click.echo(f"nobody works here yet: open {portal}/portal/ and type the set-up word {word}")
        working = [
            asyncio.create_task(server.publish_for_ever(house, clock)),
            asyncio.create_task(follow_for_ever(house, clock)),
        ]
        for work in working:
            work.add_done_callback(lambda _: setattr(serving, "should_exit", True))
        ready("serving {}:{}".format(*listener.getsockname()[:2]))
        log.info("serving http://%s:%d", *listener.getsockname()[:2])
        await serving.serve([listener])
        service.notify_stopping()
        for work in working:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work


class _Workers:
    """Several processes on one socket. One that dies is started again; none holds anything that another needs."""

    def __init__(self, data: Path, listener: socket.socket, desk_socket: Path | None, count: int) -> None:
        self._data = data
        self._listener = listener
        self._desk_socket = desk_socket
        self._count = count
        self._running: set[int] = set()
        self._is_stopping = False

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for _ in range(self._count):
            self._start()
        service.notify_ready(f"{self._count} workers")
        while self._running:
            died, status = os.wait()
            self._running.discard(died)
            if not self._is_stopping:
                log.error("a worker ended (%s) and is started again", os.waitstatus_to_exitcode(status))
                signal.sigtimedwait((), RESTART_WAIT)
                self._start()

    def _start(self) -> None:
        child = os.fork()
        if child:
            self._running.add(child)
            if self._is_stopping:  # while it was forked
                self._stop(signal.SIGTERM, None)
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os._exit(self._work())

    def _work(self) -> int:
        try:
            house = open_house(self._data, secrets.token_bytes, credentials())
            try:
                _run(_serve(house, self._listener, self._desk_socket), self._desk_socket)
            finally:
                house.close()
        except BluezonedError as error:
            log.error("%s", error)
            return 1
        finally:
            sys.stderr.flush()
        return 0

    def _stop(self, number: int, _: object) -> None:
        self._is_stopping = True
        for worker in self._running:
            with suppress(ProcessLookupError):
                os.kill(worker, number)
