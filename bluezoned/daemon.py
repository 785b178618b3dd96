"""bluezoned: the program on the box. Has no network; the radio, the store, the spool and the bus are all."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

import click

from bluezoned import __version__, assembly, command_line, hardware, service
from bluezoned.errors import BluezonedError, ConfigError, StoreError

log = logging.getLogger(__name__)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@command_line.config_options
@click.option("--check-config", is_flag=True, help="Only say what is wrong with the settings.")
@click.option(
    "--desk", "desk_place", metavar="SOCKET:STATION", help="Join a simulated desk instead of using Bluetooth."
)
@click.option(
    "--replay", "capture", type=click.Path(path_type=Path, dir_okay=False), help="Play a capture instead of Bluetooth."
)
@click.version_option(__version__, prog_name="bluezoned")
def main(
    config_path: Path | None,
    settings: tuple[str, ...],
    check_config: bool,
    desk_place: str | None,
    capture: Path | None,
) -> None:
    """Trace: advertise a rolling identifier, remember who was near, compare with the authority's list, tell.

    systemd runs it: systemctl start bluezoned, and bluezonectl asks it how it is. SIGHUP (systemctl reload) reads the
    settings anew: what can change while it runs is in force at once, the log names what waits for a restart, and a
    mistake changes nothing.

    Exit status: 0 stopped, 69 no radio, 74 the storage failed, 77 run as root, 78 the configuration is wrong.
    """
    try:
        config = command_line.load(config_path, settings)
        assembly.settings(config)
        hardware.wiring(config.alert)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)
    if check_config:
        click.echo("the configuration is fine")
        return
    if os.geteuid() == 0 and desk_place is None and capture is None:
        # A stranger's packets end here, and nothing that is done with them needs root. A desk or a capture is no
        # stranger, and is tried in containers where everybody is root.
        click.echo("bluezoned does not run as root: systemctl start bluezoned runs it as its own user", err=True)
        sys.exit(os.EX_NOPERM)
    service.to_where_it_is_read("bluezoned", config.log.level, os.environ)
    try:
        asyncio.run(assembly.run(config, desk_place, capture, lambda: command_line.load(config_path, settings)))
    except (BluezonedError, BaseExceptionGroup) as failure:
        reason = _named(failure)
        if reason is None:
            raise
        log.error("%s", reason)
        sys.exit(os.EX_IOERR if isinstance(reason, StoreError) else os.EX_UNAVAILABLE)


def _named(failure: BaseException) -> BluezonedError | None:
    """The reason, where it is one of ours, however deep the task groups have wrapped it."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure if isinstance(failure, BluezonedError) else None
