"""bluezoned-first-boot: a oneshot of root's, at every boot, before the network and the daemon. Never stops the boot."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import click

from bluezoned import __version__, service
from bluezoned.first_boot import card
from bluezoned.first_boot.boot_file import Wishes

log = logging.getLogger(__name__)

BOOT = ("/boot/firmware", "/boot")
"""Where Debian 12 and later mount the boot partition, and where older ones did."""

LIGHTS = ("ACT", "led0")
"""The board's own light, by the kernels' names for it."""

BLINK_MS = "100"
"""On and off. Five times a second is unlike the card's own flicker, and the alphabet of the alert does not have it."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--boot", "boot", type=click.Path(path_type=Path, file_okay=False), help="The boot partition.")
@click.option(
    "--root", "root", type=click.Path(path_type=Path, file_okay=False), default="/", help="Write below this directory."
)
@click.version_option(__version__, prog_name="bluezoned-first-boot")
def main(boot: Path | None, root: Path) -> None:
    """Take over bluezoned.toml from the boot partition, once, and erase its secrets there.

    What is wrong with it is told in bluezoned-problems.txt beside it, and by the board's own light, which blinks fast.

    Exit status: 0 in any of these cases, 74 when the boot partition cannot be read.
    """
    service.to_where_it_is_read("bluezoned-first-boot", "info", os.environ)
    place = boot or next((Path(name) for name in BOOT if card.found(Path(name))), Path(BOOT[0]))
    try:
        wishes = card.run(place, root)
    except OSError as error:
        log.error("the boot partition cannot be read: %s", error.strerror)
        sys.exit(os.EX_IOERR)
    if wishes is None:
        return
    for problem in wishes.problems:
        line = "" if problem.line is None else f"line {problem.line}: "
        log.warning("bluezoned.toml: %s%s", line, problem.told(problem.kind.english))
    log.info("bluezoned.toml was read: %d problems", len(wishes.problems))
    if wishes.problems:
        _blink(root)
    if root == Path("/"):
        _settle(wishes)


def _blink(root: Path) -> None:
    """By the kernel, which goes on with it when this program has ended."""
    for name in LIGHTS:
        light = root / "sys/class/leds" / name
        if light.is_dir():
            try:
                (light / "trigger").write_text("timer")
                for delay in ("delay_on", "delay_off"):
                    (light / delay).write_text(BLINK_MS)
            except OSError as error:
                log.warning("the board's light cannot be used: %s", error.strerror)


def _settle(wishes: Wishes) -> None:
    """What needs more than a file. A service that fails to start is its own to tell."""
    if wishes.name is not None:
        socket.sethostname(wishes.name)
    if wishes.ssh_key is not None:
        subprocess.run(["systemctl", "enable", "--now", "--no-block", "ssh.service"], check=False)
