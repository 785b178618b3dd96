"""The house stands as docs/architecture.md draws it: imports point one way, the heart is pure, words keep rooms."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bluezoned"

WORDS = {"", "errors", "event", "opaque", "clock", "bus", "config", "config_source", "advertisement"}
WIRE = {
    "bounded_zip",
    "export_message",
    "key_export",
    "key_index",
    "key_rotation",
    "merkle_tree",
    "protobuf",
    "signed_document",
    "transparency_log",
    "fork_evidence",
    "upload",
}
EDGES = {"radio", "alert", "feed", "control", "authority"}
PROGRAMS = {
    "storage",
    "daemon",
    "sync",
    "cli",
    "board",
    "hardware",
    "hand",
    "box",
    "condition",
    "assembly",
    "exchange",
    "recorder",
    "reload",
    "service",
    "command_line",
    "demo",
    "doctor",
    "manual",
    "display",
    "first_boot",
    "simulator",
}
PROGRAMS_INSIDE = {"authority.server", "authority.cli", "authority.api", "authority.portal"}

NETWORK = {"aiohttp", "ftplib", "http", "httpx", "litestar", "requests", "smtplib", "ssl", "urllib.request", "uvicorn"}
TIME_AND_CHANCE = {"asyncio", "datetime", "random", "secrets", "select", "stamina", "threading", "time", "uuid"}
PROCESSES = {"concurrent", "importlib", "multiprocessing", "signal", "socket", "subprocess"}
MACHINE_AND_PEOPLE = {"bleak", "bluez_peripheral", "click", "dbus_next", "logging", "rich", "systemd"}
WORLD = NETWORK | TIME_AND_CHANCE | PROCESSES | MACHINE_AND_PEOPLE
"""What the heart must not import: time, chance, other processes, other machines, people."""

ONE_OR_THE_OTHER = {"_sha256", "_sha2"}
"""The standard library's own SHA-256, named so up to Python 3.11 and from 3.12 on."""

AMBIENT = {"environ", "environb", "getenv", "getrandom", "urandom"}
DATABASES = {"alembic", "sqlite3", "sqlalchemy"}
ON_THE_NETWORK = {"feed.client", "display.server"} | PROGRAMS_INSIDE
STORES = {
    "tracing.store",
    "tracing.schema",
    "tracing.day_keys",
    "tracing.archive",
    "authority.database",
    "authority.dump",
    "authority.exchange_store",
    "authority.hearing_store",
    "authority.import_store",
    "authority.key_store",
    "authority.log_store",
    "authority.migrations",
    "authority.register_store",
    "authority.upload_store",
    "authority.staff_store",
    "authority.store",
    "authority.tables",
}
READING_THE_CLOCK = {"asyncio.sleep", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
SQL = re.compile(r"\b(SELECT .+ FROM|INSERT INTO|DELETE FROM|UPDATE .+ SET|(CREATE|DROP|ALTER) TABLE|PRAGMA)\b", re.S)


def layer(module: str) -> int:
    """0 words, 1 air and wire, 2 heart, 3 edges, 4 programs; `module` without the package's name."""
    room = module.partition(".")[0]
    if within(module, PROGRAMS_INSIDE) or room in PROGRAMS:
        return 4
    if room in EDGES:
        return 3
    if room == "tracing":
        return 2
    if room == "protocols" or room in WIRE:
        return 1
    if room in WORDS:
        return 0
    raise AssertionError(f"{module} has no place in the house: give it one here and in docs/architecture.md")


def is_heart(module: str) -> bool:
    """Whether time and randomness must be arguments there."""
    in_authority = module.startswith("authority") and not within(module, PROGRAMS_INSIDE | {"authority.settings"})
    return layer(module) in (1, 2) or in_authority


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, anywhere in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(names: Iterable[str], modules: set[str]) -> set[str]:
    """Those of this package, without its name."""
    inside = {name.removeprefix("bluezoned").removeprefix(".") for name in names if name.split(".")[0] == "bluezoned"}
    return {name for name in inside if name in modules and name}


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def complaints(module: str, source: str, modules: set[str]) -> list[str]:
    """What in a file does not know its room."""
    tree = ast.parse(source)
    names = set(imported(tree))
    return [
        *_arrows(module, own(names, modules)),
        *(_impurities(module, tree, names) if is_heart(module) else ()),
        *_foreign_arrows(module, names),
        *_strange_texts(module, tree),
        *_strange_calls(module, tree),
    ]


def _arrows(module: str, targets: set[str]) -> Iterator[str]:
    room, here = module.partition(".")[0], layer(module)
    for target in sorted(targets):
        other, there = target.partition(".")[0], layer(target)
        sideways = here == there == 3 and room != other
        if there > here or sideways:
            yield f"{module} imports {target}"


def _impurities(module: str, tree: ast.AST, names: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"{module} awaits"
            break
    for name in sorted(names):
        if within(name, WORLD | {"bluezoned.clock", "bluezoned.config", "bluezoned.config_source"}):
            yield f"{module} imports {name}"
        if name.startswith("os.") and name.removeprefix("os.") in AMBIENT:
            yield f"{module} reads {name.removeprefix('os.')}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in AMBIENT:
            yield f"{module} reads {node.attr}"


def _foreign_arrows(module: str, names: set[str]) -> Iterator[str]:
    for name in sorted(names):
        if name.startswith("."):
            yield f"{module} imports relatively"
        if within(name, DATABASES) and not within(module, STORES):
            yield f"{module} imports {name}"
        if within(name, NETWORK) and not within(module, ON_THE_NETWORK):
            yield f"{module} imports {name}"
        if within(name, {"time"}) and module != "clock" and layer(module) < 4:
            yield f"{module} reads the clock"


def _strange_texts(module: str, tree: ast.AST) -> Iterator[str]:
    """Texts that belong to one room, docstrings left out."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            text = node.value
        else:
            continue
        if re.search(r"\borg\.bluez\b", text) and not module.startswith("radio.bluez"):
            yield f"{module} names org.bluez"
        if re.search(r"\borg\.bluezoned\b", text) and module != "control.names":
            yield f"{module} names org.bluezoned"
        if SQL.search(text) and not within(module, STORES):
            yield f"{module} speaks SQL"


def _strange_calls(module: str, tree: ast.AST) -> Iterator[str]:
    """Telling the time outside the clock, and people outside the programs. The demo also times itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("print", "click.echo", "sys.stdout.write", "sys.stderr.write") and layer(module) < 4:
                yield f"{module} prints"
            if any(called.endswith(reading) for reading in READING_THE_CLOCK) and not within(module, {"clock", "demo"}):
                yield f"{module} reads the clock"


def sources() -> dict[str, str]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix("__init__").removesuffix(".")] = path.read_text()
    return found


SOURCES = sources()


@pytest.mark.parametrize("module", sorted(SOURCES), ids=lambda name: name or "bluezoned")
def test_module_knows_its_room(module: str) -> None:
    assert complaints(module, SOURCES[module], set(SOURCES)) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("tracing.store", "from bluezoned.radio import radio", "tracing.store imports radio"),
        ("tracing.store", "from bluezoned.radio.radio import Radio", "tracing.store imports radio.radio"),
        ("feed.client", "import bluezoned.control.proxy", "feed.client imports control.proxy"),
        ("protocols.gaen", "from bluezoned.tracing.store import Store", "protocols.gaen imports tracing.store"),
        ("opaque", "from bluezoned.protocols import gaen", "opaque imports protocols"),
        ("authority.publish", "from bluezoned.authority import server", "authority.publish imports authority.server"),
        ("tracing.device", "async def hear(): ...", "tracing.device awaits"),
        ("tracing.device", "def hear():\n    import logging", "tracing.device imports logging"),
        ("key_export", "from time import time", "key_export imports time"),
        ("upload", "import os\nnonce = os.urandom(16)", "upload reads urandom"),
        ("tracing.device", "from bluezoned.clock import Clock", "tracing.device imports bluezoned.clock"),
        ("authority.case", "import random", "authority.case imports random"),
        ("daemon", "NAME = 'org.bluez.Adapter1'", "daemon names org.bluez"),
        ("daemon", "NAME = 'org.bluezoned.Daemon1'", "daemon names org.bluezoned"),
        ("daemon", "db.execute('SELECT id FROM encounter')", "daemon speaks SQL"),
        ("feed.client", "print('fetched')", "feed.client prints"),
        ("tracing.device", "from ..radio import radio", "tracing.device imports relatively"),
        ("tracing.device", "from . import matching", "tracing.device imports relatively"),
        ("upload", "from os import urandom", "upload reads urandom"),
        ("tracing.device", "import importlib", "tracing.device imports importlib"),
        ("tracing.matching", "import sqlite3", "tracing.matching imports sqlite3"),
        ("box", "import aiohttp", "box imports aiohttp"),
        ("box", "from urllib import request", "box imports urllib.request"),
        ("feed.client", "from time import time", "feed.client reads the clock"),
        ("box", "import asyncio\nasync def f(): await asyncio.sleep(1)", "box reads the clock"),
        ("cli", "import datetime\nat = datetime.datetime.now()", "cli reads the clock"),
        ("alert.journal", "NAME = 'org.bluez'", "alert.journal names org.bluez"),
        ("control.proxy", "NAME = f'org.bluezoned.{x}'", "control.proxy names org.bluezoned"),
        ("feed.spool", "db.execute(f'UPDATE {table} SET x = 1')", "feed.spool speaks SQL"),
    ],
)
def test_checker_sees_what_does_not_belong(module: str, source: str, complaint: str) -> None:
    assert complaint in complaints(module, source, set(SOURCES))


def test_every_new_room_must_be_given_a_place() -> None:
    with pytest.raises(AssertionError, match="no place in the house"):
        layer("helpers")


def reached_from(module: str) -> set[str]:
    """The module and every other of ours that it draws in."""
    reached: set[str] = set()
    ahead = {module}
    while ahead:
        reached |= ahead
        ahead = {name for at in ahead for name in own(imported(ast.parse(SOURCES[at])), set(SOURCES))} - reached
    return reached


def test_the_daemon_cannot_reach_the_network() -> None:
    assert not reached_from("daemon") & ON_THE_NETWORK


def test_sync_cannot_reach_a_secret() -> None:
    assert not {module for module in reached_from("sync") if within(module, {"tracing", "radio", "control"})}


def test_the_authority_s_package_lacks_nothing_that_it_uses() -> None:
    """debian/rules leaves out what is a box's; nothing that stays may import it."""
    rules = (PACKAGE.parent / "debian" / "rules").read_text()
    listed = re.search(r"^OF_BOXES := ((?:.*\\\n)*.*)$", rules, re.M)
    assert listed is not None
    patterns = [part.removesuffix(".py").replace("/", ".") for part in listed[1].replace("\\\n", " ").split()]
    absent = {name for name in SOURCES if any(fnmatch(name, p) or fnmatch(name, f"{p}.*") for p in patterns)}
    present = {name for name in SOURCES if name not in absent and not within(name, {"demo"})}
    assert {"box", "cli.state", "radio.bluez"} <= absent

    lacking = {name: own(imported(ast.parse(SOURCES[name])), set(SOURCES)) & absent for name in present}

    assert {name: lacks for name, lacks in lacking.items() if lacks} == {}


def test_every_foreign_import_is_declared() -> None:
    setup = configparser.ConfigParser()
    setup.read(PACKAGE.parent / "setup.cfg")
    extras = setup["options.extras_require"]
    declared = "\n".join((setup["options"]["install_requires"], extras["authority"], extras["postgres"], extras["s3"]))
    names = {re.split(r"[<>=~\[]", line)[0].strip().lower() for line in declared.splitlines() if line}
    homes = metadata.packages_distributions()
    foreign = {
        name.split(".")[0]
        for source in SOURCES.values()
        for name in imported(ast.parse(source))
        if name.split(".")[0] not in sys.stdlib_module_names | ONE_OR_THE_OTHER | {"bluezoned", "botocore"}
    }

    undeclared = {name for name in foreign if not names & {home.lower() for home in homes.get(name, [])}}

    assert not undeclared


def test_bus_journal_and_cryptography_come_from_the_chosen_libraries() -> None:
    used = {name.split(".")[0] for source in SOURCES.values() for name in imported(ast.parse(source))}

    assert {"dbus_next", "cryptography", "systemd"} <= used
