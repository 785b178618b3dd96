"""bluezoned-display: a page for a display beside a box, such as a browser in kiosk mode on the same machine.

Asks the bus for the status, and may ask nothing else; holds no secret, and is reached from this machine alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import click

from bluezoned import __version__, command_line, service
from bluezoned.bus import BusError
from bluezoned.config import Config
from bluezoned.control import proxy
from bluezoned.control.report import StatusReport
from bluezoned.display import server
from bluezoned.errors import BluezonedError, ConfigError

log = logging.getLogger(__name__)

ANSWER_S = 3.0
"""Seconds to wait for the daemon: the page gives up after four."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@command_line.config_options
@click.version_option(__version__, prog_name="bluezoned-display")
def main(config_path: Path | None, settings: tuple[str, ...]) -> None:
    """Serve a page that says how the box is, on http://127.0.0.1:8111 (display.port).

    Exit status: 0 stopped, 69 the port is taken, 78 the configuration is wrong.
    """
    try:
        config = command_line.load(config_path, settings)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)
    service.to_where_it_is_read("bluezoned-display", config.log.level, os.environ)
    try:
        asyncio.run(_run(config))
    except OSError as error:
        log.error("port %d of this machine cannot be used (display.port): %s", config.display.port, error.strerror)
        sys.exit(os.EX_UNAVAILABLE)


async def _run(config: Config) -> None:
    ended = asyncio.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(wish, ended.set)
    async with server.serving(lambda: _ask(config), config.display.port):
        service.notify_ready(f"on http://{server.HOST}:{config.display.port}")
        await ended.wait()
    service.notify_stopping()


async def _ask(config: Config) -> StatusReport | None:
    # A connection for each question: one every five seconds costs nothing, and a bus that was lost needs no care.
    try:
        async with proxy.reached(config.control.bus, config.beacon.instance, ANSWER_S) as daemon:
            return await daemon.status()
    except (BusError, BluezonedError) as error:
        log.debug("no answer: %s", error)
        return None
