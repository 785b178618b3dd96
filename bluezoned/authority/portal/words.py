"""What the portal says, in each language, and which language a visitor reads."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

LANGUAGES = {"vi": "Tiếng Việt", "en": "English"}
"""The first is spoken to who reads neither."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every text of one language."""

    language: str
    texts: Mapping[str, str]

    def text(self, key: str, **values: object) -> str:
        """KeyError for what is not there: a page with a hole must fail in tests, not be shown."""
        return self.texts[key].format(**values) if values else self.texts[key]


def load() -> dict[str, Catalogue]:
    """Each language's, by its code."""
    folder = resources.files("bluezoned.authority.portal").joinpath("catalogue")
    return {
        code: Catalogue(code, dict(_flat("", tomllib.loads(folder.joinpath(f"{code}.toml").read_text("utf-8")))))
        for code in LANGUAGES
    }


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def choose(chosen: str | None, accepted: str) -> str:
    """The language that was chosen, else the first of Accept-Language that is spoken here."""
    if chosen in LANGUAGES:
        return chosen
    ranked = []
    for place, part in enumerate(accepted.split(",")[:20]):
        tag, _, weight = part.partition(";q=")
        try:
            rank = float(weight) if weight else 1.0
        except ValueError:
            rank = 0.0
        ranked.append((-rank, place, tag.strip().split("-")[0].lower()))
    return next((tag for rank, _, tag in sorted(ranked) if tag in LANGUAGES and rank < 0), next(iter(LANGUAGES)))
