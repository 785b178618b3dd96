"""Every option of an authority, with its range, unit and default; read from DIR/authority.toml.

config/authority.toml says the same to people and is written by `template`; a test holds the two together.
"""

from __future__ import annotations

import json
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from bluezoned import config_source
from bluezoned.config_source import ConfigErrors, Mistake
from bluezoned.errors import ConfigError

_Seconds = Annotated[int, Meta(extra={"unit": "seconds"})]
_Days = Annotated[int, Meta(extra={"unit": "days"})]


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who this authority is."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{1,64}\Z",
            description="Its name, as key id of its signatures.",
            extra={"shape": "1 to 64 letters, digits, - and _"},
        ),
    ] = "authority"
    region: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9-]{0,16}\Z",
            description="Region written into its exports.",
            extra={"shape": "letters, digits and -, 16 at most"},
        ),
    ] = "VN"


class Publish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When keys are published, and for how long."""

    # Below ten minutes the batches of a month outgrow the largest index that boxes accept (20,000).
    every_s: Annotated[
        _Seconds,
        Meta(
            ge=600,
            le=86_400,
            description="Between two publishing runs. Boxes look every four hours; sooner tells observers who uploaded "
            "when, later delays every alert.",
        ),
    ] = 3600
    # Halved, a look at a batch tells one household from none; doubled, a small ward's boxes fetch twice as much for
    # nothing (150 keys are 8 KB).
    least_keys: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="A batch with fewer new keys is filled up with random ones, so that nobody sees how few people "
            "fell ill: 150 are the keys of ten people for two weeks.",
            extra={"unit": "keys"},
        ),
    ] = 150
    # A DP-3T key waits for the end of its day: with one day it could be forgotten before it was published.
    retention_days: Annotated[
        _Days,
        Meta(
            ge=2,
            le=30,
            description="Everything received or published is erased after this time. Boxes compare 14 days.",
        ),
    ] = 14
    index_lifetime_days: Annotated[
        _Days,
        Meta(
            ge=1,
            le=30,
            description="How long a signed index is believed. Each publishing run renews it; a mirror that stands "
            "still is noticed after this time at the latest.",
        ),
    ] = 14


class Database(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where cases, codes and unpublished keys are kept."""

    url: Annotated[
        str,
        Meta(
            # No password: people read this file, and libpq has a place for it that nobody else reads.
            pattern=r"^(postgresql://([^:@/\s]+@)?[^@\s]+)?\Z",
            description="PostgreSQL's address, such as postgresql://authority@db.example/authority; its password goes "
            "into ~/.pgpass (PGPASSFILE). Empty: SQLite, in the file authority.db beside this one.",
            extra={"shape": "postgresql://USER@HOST/DATABASE without a password, or nothing"},
        ),
    ] = ""


class Bucket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bucket of S3 or its like that takes what is published, instead of the directory public/ beside this file.
    Credentials are found as Amazon's tools find them (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws)."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?\Z",
            description="The bucket; empty for none. It must be there.",
            extra={"shape": "3 to 63 small letters, digits, - and ., or nothing"},
        ),
    ] = ""
    endpoint: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^@\s]+)?\Z",
            description="The server's address; empty for Amazon's own.",
            extra={"shape": "https://HOST or http://HOST, or nothing"},
        ),
    ] = ""
    region: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9-]{1,32}\Z",
            description="The region that requests are signed for.",
            extra={"shape": "1 to 32 small letters, digits and -"},
        ),
    ] = "us-east-1"
    prefix: Annotated[
        str,
        Meta(
            pattern=r"^([A-Za-z0-9._-]+/){0,8}\Z",
            description="Stands before every name: with v1/ a CDN in front of the bucket answers boxes as this server "
            "does.",
            extra={"shape": "names of letters, digits, ., _ and -, each ending with /, or nothing"},
        ),
    ] = "v1/"


class Portal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where staff work, with a browser."""

    origin: Annotated[
        str,
        Meta(
            pattern=r"^(https://[a-z0-9.-]{1,253}(:[0-9]{1,5})?|http://localhost(:[0-9]{1,5})?)?\Z",
            description="The address as staff type it; passkeys work there alone. Empty: this machine alone, at "
            "the port that serve listens on.",
            extra={"shape": "https://NAME or http://localhost:PORT, without a path"},
        ),
    ] = ""
    time_zone: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}\Z",
            description="In which times are shown and typed.",
            extra={"shape": "a name of the IANA database, such as Asia/Ho_Chi_Minh"},
        ),
    ] = "Asia/Ho_Chi_Minh"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """authority.toml."""

    authority: Identity = Identity()
    publish: Publish = Publish()
    database: Database = Database()
    bucket: Bucket = Bucket()
    portal: Portal = Portal()


_SECTIONS: dict[str, type[msgspec.Struct]] = get_type_hints(Settings)


def read(path: Path) -> Settings:
    """The settings in `path`, defaults where it does not exist. ConfigErrors names file, line and option of every
    mistake."""
    try:
        text = path.read_text() if path.exists() else ""
        document = tomllib.loads(text)
    except config_source.TOML_ERRORS as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    mistakes = list(_mistakes(document, str(path), config_source.key_lines(text)))
    if mistakes:
        raise ConfigErrors(mistakes)
    return msgspec.convert(document, Settings)


def _mistakes(document: Mapping[str, Any], source: str, lines: Mapping[tuple[str, ...], int]) -> Iterator[Mistake]:
    for section, options in document.items():
        line = lines.get((section,))
        if section not in _SECTIONS:
            yield Mistake(source, line, section, f"no such section; {_known(_SECTIONS)}")
            continue
        if not isinstance(options, dict):
            yield Mistake(source, line, section, f"is a section: write [{section}]")
            continue
        kinds = get_type_hints(_SECTIONS[section], include_extras=True)
        for option, value in options.items():
            place = lines.get((section, option), line)
            if option not in kinds:
                yield Mistake(source, place, f"{section}.{option}", f"no such option; {_known(kinds)}")
                continue
            try:
                msgspec.convert(value, kinds[option])
            except msgspec.ValidationError:
                # Whoever writes a password there must not find it in the journal too.
                told = "this" if option == "url" else json.dumps(value, default=str)[:60]
                problem = f"{told} is not allowed; allowed: {_allowed(kinds[option])}"
                yield Mistake(source, place, f"{section}.{option}", problem)


def _known(names: Mapping[str, object]) -> str:
    return f"there are: {', '.join(names)}"


def _allowed(kind: Any) -> str:
    metas = [meta for meta in get_args(kind)[1:] if isinstance(meta, Meta)]
    extra: dict[str, str] = {}
    for meta in metas:
        extra |= meta.extra or {}
    if "shape" in extra:
        return extra["shape"]
    low, high = (next(getattr(m, end) for m in metas if getattr(m, end) is not None) for end in ("ge", "le"))
    return f"a whole number from {low} to {high}, {extra['unit']}"


def require_name(name: str) -> None:
    """ConfigError unless an authority can be called that."""
    try:
        msgspec.convert({"name": name}, Identity)
    except msgspec.ValidationError:
        raise ConfigError(f"the name is not allowed; allowed: {_allowed(_NAME)}") from None


_NAME = get_type_hints(Identity, include_extras=True)["name"]


def template(name: str | None = None) -> str:
    """authority.toml with every option at its default, as a comment; `name` (one that `require_name` lets pass) set."""
    lines = [_HEAD]
    for section, struct in _SECTIONS.items():
        lines += ["", *_wrapped(" ".join((struct.__doc__ or "").split())), f"[{section}]"]
        kinds = get_type_hints(struct, include_extras=True)
        for option in msgspec.structs.fields(struct):
            kind = kinds[option.name]
            described = next(meta.description for meta in get_args(kind)[1:] if meta.description)
            lines += ["", *_wrapped(described), f"# Allowed: {_allowed(kind)}."]
            if name is not None and (section, option.name) == ("authority", "name"):
                lines.append(f'name = "{name}"')
            else:
                lines.append(f"#{option.name} = {json.dumps(option.default)}")
    return "\n".join(lines) + "\n"


_HEAD = """\
# bluezone-authority: every option at its default. Remove the # before an option to change it; `serve` reads this file
# when it starts."""


def _wrapped(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 98)]
