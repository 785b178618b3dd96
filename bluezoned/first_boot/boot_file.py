"""Reads the boot file: what it wishes for, and every mistake in it. Bytes in, values out; writes nothing.

Its own sections are name, [wifi], [ssh] and [update]; any other is a section of the ordinary settings. Each section
stands alone: one with a mistake is left out, the others count.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key

from bluezoned import config, config_source
from bluezoned.config_source import Mistake
from bluezoned.first_boot.problem import Kind, Problem

MOST_BYTES = 64 * 1024
"""Such a file has one or two kilobytes; a long list of keys in it some more."""

IMPORTED = "(imported)"
"""Stands where a secret stood that was taken over. Too long by two for a forgetful person's password, and told apart
by the brackets."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.I)
_OWN = {"wifi": {"ssid", "password", "country"}, "ssh": {"key"}, "update": {"public_key"}}
_KINDS = {
    config_source.Kind.NO_SUCH_SECTION: Kind.NO_SUCH_SECTION,
    config_source.Kind.NO_SUCH_OPTION: Kind.NO_SUCH_OPTION,
    config_source.Kind.CONTRADICTION: Kind.CONTRADICTION,
}


@dataclass(frozen=True, slots=True)
class Wifi:
    """One network. The password never prints."""

    ssid: str
    password: str = field(repr=False)
    """Empty for an open one."""
    country: str


@dataclass(slots=True)
class Wishes:
    """What the file asks for; None or empty where it asks nothing, or wrongly."""

    name: str | None = None
    wifi: Wifi | None = None
    ssh_key: str | None = None
    update_key: str | None = None
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def decoded(content: bytes) -> str | None:
    """The text, as Windows' editors write it too: with a mark, or in UTF-16. None when it is none."""
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.replace("\r\n", "\n")


def read(content: bytes) -> Wishes:
    """All that can be taken over, and all that is wrong."""
    wishes = Wishes()
    if len(content) > MOST_BYTES:
        wishes.problems.append(Problem(Kind.TOO_LARGE))
        return wishes
    if (text := decoded(content)) is None:
        wishes.problems.append(Problem(Kind.NOT_TEXT))
        return wishes
    try:
        document = tomllib.loads(text)
        # What is too deep to be written back, its secret erased, is not taken over either.
        _value(document)
    except config_source.TOML_ERRORS as error:
        line = config_source.error_line(error, text)
        written = text.split("\n")
        curly = line and line <= len(written) and re.search("[\u201c-\u201e\u2018\u2019]", written[line - 1])
        wishes.problems.append(
            Problem(Kind.CURLY_QUOTES, line) if curly else Problem(Kind.NOT_TOML, line, said=str(error))
        )
        return wishes
    if not document:
        wishes.problems.append(Problem(Kind.EMPTY))
    lines = config_source.key_lines(text)
    _take_own(document, lines, wishes)
    _take_settings(document, lines, wishes)
    return wishes


def _take_own(document: Mapping[str, Any], lines: Mapping[tuple[str, ...], int], wishes: Wishes) -> None:
    refuse = wishes.problems.append
    if "name" in document:
        name = document["name"]
        if isinstance(name, str) and _NAME.fullmatch(name):
            wishes.name = name.lower()
        else:
            refuse(Problem(Kind.BAD_NAME, lines.get(("name",))))
    for section, options in _OWN.items():
        table = document.get(section)
        if table is None:
            continue
        problems = list(_shape(section, table, options, lines))
        if not problems:
            problems = list(_TAKERS[section](table, wishes))
        for problem in problems:
            line = problem.line or lines.get((section, problem.what)) or lines.get((section,))
            refuse(Problem(problem.kind, line, f"{section}.{problem.what}".strip("."), problem.said))


def _shape(section: str, table: object, options: set[str], lines: Mapping[tuple[str, ...], int]) -> Iterator[Problem]:
    if not isinstance(table, dict):
        yield Problem(Kind.NOT_ALLOWED, lines.get((section,)), said=f"write [{section}] and its options below")
        return
    for option, value in table.items():
        if option not in options:
            near = f"there are: {', '.join(sorted(options))}"
            yield Problem(Kind.NO_SUCH_OPTION, lines.get((section, option)), option, near)
        elif not isinstance(value, str):
            yield Problem(Kind.NOT_ALLOWED, lines.get((section, option)), option, 'write it in quotes: "..."')


def _wifi(table: Mapping[str, str], wishes: Wishes) -> Iterator[Problem]:
    password = table.get("password")
    if password == IMPORTED:
        return
    found = []
    ssid = table.get("ssid", "")
    if not 1 <= len(ssid.encode()) <= 32:
        found.append(Problem(Kind.WIFI_NAME, what="ssid"))
    if password is None or (password and not 8 <= len(password) <= 63):
        found.append(Problem(Kind.WIFI_PASSWORD, what="password"))
    country = table.get("country", "")
    # ISO 3166; the United Kingdom's is GB, which everybody gets wrong.
    if not re.fullmatch("[A-Z]{2}", country) or country == "UK":
        found.append(Problem(Kind.WIFI_COUNTRY, what="country"))
    yield from found
    if not found:
        wishes.wifi = Wifi(ssid, password or "", country)


def _ssh(table: Mapping[str, str], wishes: Wishes) -> Iterator[Problem]:
    key = table.get("key", "").strip()
    if "PRIVATE KEY" in key:
        yield Problem(Kind.SSH_PRIVATE_KEY, what="key")
        return
    try:
        if "\n" in key:
            raise ValueError("several lines")
        load_ssh_public_key(key.encode())
    except (ValueError, UnsupportedAlgorithm):
        yield Problem(Kind.SSH_KEY, what="key")
        return
    wishes.ssh_key = key


def _update(table: Mapping[str, str], wishes: Wishes) -> Iterator[Problem]:
    pem = table.get("public_key", "")
    if isinstance(_public_key(pem), ed25519.Ed25519PublicKey):
        wishes.update_key = pem
    else:
        yield Problem(Kind.UPDATE_KEY, what="public_key")


_TAKERS = {"wifi": _wifi, "ssh": _ssh, "update": _update}


def _take_settings(document: Mapping[str, Any], lines: Mapping[tuple[str, ...], int], wishes: Wishes) -> None:
    for section, table in document.items():
        if section in _OWN or section == "name":
            continue
        problems = [_from_settings(mistake, lines) for mistake in config_source.mistakes({section: table})]
        key = table.get("public_key", "") if isinstance(table, dict) else ""
        is_pem = section == "authority" and isinstance(key, str) and key and not key.startswith("/")
        if is_pem and not problems and not isinstance(_public_key(key), ec.EllipticCurvePublicKey):
            problems.append(Problem(Kind.AUTHORITY_KEY, lines.get((section, "public_key"))))
        wishes.problems += problems
        if not problems:
            wishes.settings[section] = table


def _from_settings(mistake: Mistake, lines: Mapping[tuple[str, ...], int]) -> Problem:
    place = tuple(mistake.option.split("."))
    kind = _KINDS.get(mistake.kind, Kind.NOT_ALLOWED)
    return Problem(kind, lines.get(place) or lines.get(place[:1]), mistake.option, mistake.problem)


def _public_key(pem: str) -> object:
    try:
        return load_pem_public_key(pem.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        return None


def drop_in(settings: Mapping[str, Mapping[str, object]]) -> str:
    """The ordinary settings as a file for bluezoned.toml.d."""
    lines = ["# From bluezoned.toml on the boot partition.\n"]
    for section, options in settings.items():
        lines.append(f"\n[{_key(section)}]\n")
        lines += [f"{_key(option)} = {_value(value)}\n" for option, value in options.items()]
    return "".join(lines)


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: object) -> str:
    """As TOML writes it. Its texts are JSON's but for one control character, its truths JSON's too."""
    match value:
        case dict():
            return f"{{{', '.join(f'{_key(name)} = {_value(inner)}' for name, inner in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case str() | bool():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case _:
            # Numbers and dates; repr of a number is what TOML reads, with its nan and inf.
            return repr(value) if isinstance(value, int | float) else str(value)


def without_secrets(text: str, document: Mapping[str, Any], taken: set[str]) -> str:
    """The same file with the secrets of the sections in `taken` gone. Line by line where each stands on a line of its
    own; else the whole file anew, its comments lost."""
    if "wifi" not in taken or not document["wifi"].get("password"):
        return text
    line = config_source.key_lines(text).get(("wifi", "password"), 0)
    written = text.split("\n")
    if line and re.fullmatch(r"\s*password\s*=\s*(\"[^\"]*\"|'[^']*')\s*(#.*)?", written[line - 1]):
        written[line - 1] = f'password = "{IMPORTED}"'
        return "\n".join(written)
    anew = {**document, "wifi": {**document["wifi"], "password": IMPORTED}}
    plain = [f"{_key(name)} = {_value(value)}\n" for name, value in anew.items() if not isinstance(value, dict)]
    return "".join(plain) + drop_in({name: value for name, value in anew.items() if isinstance(value, dict)})


assert set(_OWN).isdisjoint(config.SECTIONS)
