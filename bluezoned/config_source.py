"""Where the values of the options come from: files, environment, command line; and every mistake in them at once.

Order, the later wins: defaults, /etc/bluezoned/bluezoned.toml, bluezoned.toml.d/*.toml (lexical), environment
BLUEZONED_<SECTION>_<OPTION>, command line.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bluezoned import config
from bluezoned.config import Config
from bluezoned.errors import ConfigError

ENVIRONMENT = "BLUEZONED_"
"""Prefix of the variables that set options. A variable that names no section is someone else's and ignored."""

MOST_BYTES = 1 << 20
"""Of one file. A settings file is 10 KB; a megabyte is a mistaken path."""

TOML_ERRORS = (ValueError, RecursionError)
"""What tomllib raises: its own error, and these for a number of thousands of digits and for values deep in others."""

MOST_LINES = 100
"""Of one statement whose line is told. Finding its end costs the square of it: a list of 3000 lines took 18 s, at a
boot. A PEM has fifteen."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Kind(Enum):
    """Of mistake, for those who tell it in other words."""

    UNREADABLE = "unreadable"
    NOT_TOML = "not TOML"
    NO_SUCH_SECTION = "no such section"
    NO_SUCH_OPTION = "no such option"
    NOT_ALLOWED = "not allowed"
    CONTRADICTION = "contradiction"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to mend: where it stands, which option, what is wrong and what is allowed."""

    source: str
    """A file's path, the name of an environment variable, or `command line`."""
    line: int | None
    """In the file, from 1; None outside files."""
    option: str
    """`section.option`; empty where the whole file is meant."""
    problem: str
    kind: Kind = Kind.OTHER

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return ": ".join(part for part in (place, self.option, self.problem) if part)


class ConfigErrors(ConfigError):
    """Every mistake found, in the order of sources."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


def installed_files(main: Path) -> tuple[Path, ...]:
    """`main` and the drop-ins of `main.d/`, as far as they exist, in the order of reading."""
    drop_ins = sorted(main.with_name(main.name + ".d").glob("*.toml"))
    return tuple(path for path in (main, *drop_ins) if path.is_file())


def load(paths: Sequence[Path], environ: Mapping[str, str], overrides: Mapping[str, str]) -> Config:
    """The settings in force. `overrides` maps `section.option` to text, as on the command line.

    Raises ConfigErrors with every mistake; a path that cannot be read is one.
    """
    reading = _Reading()
    for path in paths:
        _read_file(path, reading)
    for name, text in sorted(environ.items()):
        if (target := _variable(name)) is not None:
            _take_text(*target, text, name, reading)
    for target_text, text in overrides.items():
        section, _, option = target_text.partition(".")
        _take_text(section, option, text, "command line", reading)
    loaded, found = _judged(reading)
    if found:
        raise ConfigErrors(found)
    return loaded


def mistakes(document: Mapping[str, object]) -> list[Mistake]:
    """What is wrong with settings that were read already, over the defaults."""
    reading = _Reading()
    _read_document(document, {}, "", reading)
    return _judged(reading)[1]


def _judged(reading: _Reading) -> tuple[Config, list[Mistake]]:
    sections = {
        name: msgspec.convert(reading.values.get(name, {}), kind, strict=True) for name, kind in config.SECTIONS.items()
    }
    origins = {f"{s}.{o}": str(place) for (s, o), place in reading.places.items()}
    loaded = msgspec.convert({**sections, "origins": origins}, Config)
    return loaded, reading.mistakes + list(_contradictions(loaded, reading))


@dataclass(frozen=True, slots=True)
class _Place:
    source: str
    line: int | None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(slots=True)
class _Reading:
    """What has been read so far; values are only kept when they are allowed, so that each mistake stands alone."""

    values: dict[str, dict[str, object]] = field(default_factory=dict)
    places: dict[tuple[str, str], _Place] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def refuse(self, place: _Place, option: str, problem: str, kind: Kind) -> None:
        self.mistakes.append(Mistake(place.source, place.line, option, problem, kind))


def _read_file(path: Path, reading: _Reading) -> None:
    whole = _Place(str(path), None)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode()
    except OSError as error:
        reading.refuse(whole, "", f"cannot be read: {error.strerror}", Kind.UNREADABLE)
        return
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        reading.refuse(_Place(str(path), line), "", "is not UTF-8 text", Kind.UNREADABLE)
        return
    if len(content) > MOST_BYTES:
        reading.refuse(whole, "", f"is larger than {MOST_BYTES} bytes: not a settings file", Kind.UNREADABLE)
        return
    try:
        document = tomllib.loads(text)
    except TOML_ERRORS as error:
        reading.refuse(_Place(str(path), error_line(error, text)), "", f"is not TOML: {error}", Kind.NOT_TOML)
        return
    _read_document(document, key_lines(text), str(path), reading)


def _read_document(
    document: Mapping[str, object], lines: Mapping[tuple[str, ...], int], source: str, reading: _Reading
) -> None:
    for section, table in document.items():
        place = _Place(source, lines.get((section,)))
        if section not in config.SECTIONS:
            reading.refuse(
                place, section, f"no such section; {_nearest(section, config.SECTIONS)}", Kind.NO_SUCH_SECTION
            )
        elif not isinstance(table, dict):
            reading.refuse(place, section, f"is a section: write [{section}] and its options below", Kind.OTHER)
        else:
            for option, value in table.items():
                _take(section, option, value, _Place(source, lines.get((section, option))), reading)


def _take(section: str, option: str, value: object, place: _Place, reading: _Reading) -> None:
    """Keep one value of known section, or note why not."""
    name = f"{section}.{option}"
    known = config.options(section)
    if option not in known:
        reading.refuse(place, name, f"no such option; {_nearest(option, known)}", Kind.NO_SUCH_OPTION)
        return
    try:
        reading.values.setdefault(section, {})[option] = msgspec.convert(value, known[option], strict=True)
        reading.places[section, option] = place
    except msgspec.ValidationError:
        said = repr(value) if isinstance(value, str | int | float) and len(repr(value)) <= 60 else "this value"
        problem = f"{said} is not allowed; allowed: {config.allowed(section, option)}"
        reading.refuse(place, name, problem, Kind.NOT_ALLOWED)


def _take_text(section: str, option: str, text: str, source: str, reading: _Reading) -> None:
    """A value given as text: an option of text takes it as it is, any other reads it as a TOML value."""
    place = _Place(source, None)
    if section not in config.SECTIONS:
        reading.refuse(place, section, f"no such section; {_nearest(section, config.SECTIONS)}", Kind.NO_SUCH_SECTION)
        return
    is_text = isinstance(config.defaults(section).get(option, ""), str)
    _take(section, option, text if is_text else _toml_value(text), place, reading)


def _toml_value(text: str) -> object:
    """The one value that `text` says in TOML; `text` itself when it says none, for the complaint to show."""
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return document["value"] if len(document) == 1 else text


def _variable(name: str) -> tuple[str, str] | None:
    """Section and option of an environment variable, whether or not the option exists."""
    section, _, option = name.removeprefix(ENVIRONMENT).lower().partition("_")
    if not name.startswith(ENVIRONMENT) or section not in config.SECTIONS:
        return None
    return section, option


def _contradictions(loaded: Config, reading: _Reading) -> Iterator[Mistake]:
    """Values that are allowed alone but not together."""

    def mistake(section: str, option: str, problem: str) -> Mistake:
        place = reading.places.get((section, option), _Place("defaults", None))
        return Mistake(place.source, place.line, f"{section}.{option}", problem, Kind.CONTRADICTION)

    if loaded.beacon.protocol not in loaded.beacon.listen:
        yield mistake("beacon", "listen", f'must name "{loaded.beacon.protocol}", the protocol on the air')
    if len(set(loaded.beacon.listen)) < len(loaded.beacon.listen):
        yield mistake("beacon", "listen", "names a protocol twice")
    first, second, third = loaded.exposure.bucket_thresholds_db
    if not first < second < third:
        yield mistake("exposure", "bucket_thresholds_db", "must ascend")
    authority = loaded.authority
    if bool(authority.url) != bool(authority.public_key):
        missing = "public_key" if authority.url else "url"
        given = "url" if authority.url else "public_key"
        yield mistake("authority", given, f"needs authority.{missing} too")
    if (problem := url_problem(authority.url)) is not None:
        yield mistake("authority", "url", problem)
    if authority.proxy_url and (problem := proxy_problem(authority)) is not None:
        yield mistake("authority", "proxy_url", problem)
    if 2 * authority.stale_after_s <= 3 * authority.poll_s:
        yield mistake("authority", "stale_after_s", "must be longer than one and a half times authority.poll_s")
    if authority.metered and authority.stale_after_s < config.Authority().stale_after_s:
        yield mistake("authority", "stale_after_s", "must be two days at least with authority.metered")


def url_problem(url: str) -> str | None:
    """Why `url` must not be asked, or None. Plain http stays on this machine."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not host:
        return "is no address of a web server"
    if parts.username is not None or parts.password is not None:
        return "must not carry a name or password"
    if parts.scheme == "http" and host not in LOOPBACK:
        return "must be https: plain http is for this machine alone"
    return None


def proxy_problem(authority: config.Authority) -> str | None:
    """Why the authority must not be asked through that proxy, or None."""
    try:
        parts = urlsplit(authority.proxy_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if not host:
        return "is no address of a proxy"
    if parts.username is not None or parts.password is not None:
        return "must not carry a name or password: anybody on this machine can read it"
    if not authority.url.startswith("https:"):
        return "needs an authority.url of https, so that the proxy sees no more than whom this box asks"
    return None


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Line (from 1) on which each key of a valid TOML text is set, by path.

    The TOML parser itself finds the ends: lines are added until they parse alone, so that no key is seen inside a
    text of several lines. What follows a statement of more than MOST_LINES has no line.
    """
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    statement, start = "", 1
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if not statement:
            start = number
        if number - start >= MOST_LINES:
            break
        statement += line
        try:
            parsed = tomllib.loads(statement)
        except TOML_ERRORS:
            continue
        if statement.lstrip().startswith("["):
            table = max(_paths(parsed), key=len)
            found.setdefault(table, start)
        else:
            for path in _paths(parsed):
                found.setdefault(table + path, start)
        statement = ""
    return found


def _paths(value: object, depth: int = 4) -> Iterator[tuple[str, ...]]:
    """Every path into nested tables, the inner ones too, down to `depth`. A setting lies two deep; a line of dots would
    lead down thousands."""
    inner = value[0] if isinstance(value, list) and value else value
    if isinstance(inner, dict) and depth:
        for key, below in inner.items():
            yield (key,)
            for path in _paths(below, depth - 1):
                yield (key, *path)


def error_line(error: Exception, text: str) -> int | None:
    """Where the parser stopped, from 1; None when it does not say. Before Python 3.14 it tells the line in its text
    alone."""
    if not isinstance(error, tomllib.TOMLDecodeError):
        return None
    told = re.search(r"at line (\d+)", str(error))
    return int(told[1]) if told else len(text.splitlines())


def _nearest(wrong: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(wrong, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
