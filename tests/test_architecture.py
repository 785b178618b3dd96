"""The house stands as docs/architecture.md draws it: imports point one way, the heart is pure, words keep rooms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bluezoned"

WORDS = {"", "errors", "opaque", "clock", "config", "config_source", "advertisement"}
WIRE = {"key_export", "key_index", "upload", "protobuf", "bounded_zip", "export_message"}
EDGES = {"radio", "alert", "feed", "control", "authority"}
PROGRAMS = {"daemon", "sync", "cli", "box", "assembly", "service", "command_line", "demo", "simulator"}
PROGRAMS_INSIDE = {"authority.server", "authority.cli"}

CLOCK_MODULES = {"time", "random", "secrets", "datetime", "asyncio", "logging", "socket"}
SQL = re.compile(r"\b(SELECT .+ FROM|INSERT INTO|DELETE FROM|CREATE TABLE|PRAGMA)\b")


def layer(module: str) -> int:
    """0 words, 1 air and wire, 2 heart, 3 edges, 4 programs; `module` without the package's name."""
    room = module.partition(".")[0]
    if module in PROGRAMS_INSIDE or room in PROGRAMS:
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
    in_authority = module.startswith("authority") and module not in PROGRAMS_INSIDE | {"authority.settings"}
    return layer(module) in (1, 2) or in_authority


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, anywhere in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(names: Iterator[str], modules: set[str]) -> set[str]:
    """Those of this package, without its name."""
    inside = {name.removeprefix("bluezoned").removeprefix(".") for name in names if name.split(".")[0] == "bluezoned"}
    return {name for name in inside if name in modules and name}


def complaints(module: str, source: str, modules: set[str]) -> list[str]:
    """What in a file does not know its room."""
    tree = ast.parse(source)
    names = set(imported(tree))
    return [
        *_arrows(module, own(iter(names), modules)),
        *(_impurities(module, tree, names) if is_heart(module) else ()),
        *_strangers(module, tree),
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
        if name.split(".")[0] in CLOCK_MODULES:
            yield f"{module} imports {name}"
        if name in ("bluezoned.clock", "bluezoned.config", "bluezoned.config_source"):
            yield f"{module} imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "urandom"):
            yield f"{module} reads {node.attr}"


def _strangers(module: str, tree: ast.AST) -> Iterator[str]:
    """Texts that belong to one room, docstrings left out, and prints outside the programs."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            if "org.bluez." in node.value and not module.startswith("radio.bluez"):
                yield f"{module} names org.bluez"
            if re.search(r"\borg\.bluezoned\.", node.value) and not module.startswith("control"):
                yield f"{module} names org.bluezoned"
            if SQL.search(node.value) and module not in ("tracing.store", "authority.store"):
                yield f"{module} speaks SQL"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("print", "click.echo") and layer(module) < 4:
                yield f"{module} prints"


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
    ],
)
def test_checker_sees_what_does_not_belong(module: str, source: str, complaint: str) -> None:
    assert complaint in complaints(module, source, set(SOURCES))


def test_every_new_room_must_be_given_a_place() -> None:
    with pytest.raises(AssertionError, match="no place in the house"):
        layer("helpers")


def test_the_cards_packages_are_all_used() -> None:
    used = {name.split(".")[0] for source in SOURCES.values() for name in imported(ast.parse(source))}

    assert {"dbus_next", "cryptography", "systemd"} <= used
