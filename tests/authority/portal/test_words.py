"""Every text in both languages, none missing and none left over."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from string import Formatter

import pytest

from bluezoned.authority.bulk import COLUMNS, BulkProblem
from bluezoned.authority.case import CaseProblem
from bluezoned.authority.portal import words
from bluezoned.authority.staff import Role, StaffProblem
from bluezoned.authority.staff_store import Act

PORTAL = Path(words.__file__).parent
CATALOGUES = words.load()


def gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_languages_say_the_same_things() -> None:
    vi, en = CATALOGUES["vi"].texts, CATALOGUES["en"].texts

    assert vi.keys() == en.keys()
    assert {key for key in en if gaps(en[key]) != gaps(vi[key])} == set()
    assert [key for key in en if not en[key].strip() or not vi[key].strip()] == []


def test_vietnamese_is_vietnamese() -> None:
    """A text that was forgotten in translation reads the same in both; few may."""
    same = {key for key in CATALOGUES["en"].texts if CATALOGUES["en"].texts[key] == CATALOGUES["vi"].texts[key]}

    assert same == set()


@pytest.mark.parametrize("kind", [CaseProblem, BulkProblem, StaffProblem])
def test_every_problem_can_be_told(kind: type[Enum]) -> None:
    for member in kind:
        CATALOGUES["en"].text(f"{kind.__name__}.{member.name}".lower())


def test_every_text_of_a_template_is_there_and_every_text_is_used() -> None:
    templates = "".join(path.read_text() for path in (PORTAL / "templates").glob("*.html"))
    code = "".join(path.read_text() for path in PORTAL.glob("*.py"))
    keys = set(CATALOGUES["en"].texts)

    named = set(re.findall(r"""(?<![a-z_])t\(\s*"([a-z0-9_.-]+)"\s*[,)]""", templates))
    made = set(re.findall(r"""(?<![a-z_])t\(\(?"([a-z0-9_.-]+[.-])" ~""", templates)) | {
        "slip.venue-step-",
        "slip.step-",
    }
    families = {key for key in keys if any(key.startswith(start) for start in made)}
    problems = {key for key in keys if key.split(".")[0].endswith("problem")}

    assert named <= keys
    assert keys - named - families - problems == set()
    assert {f"many.column-{column}" for column in COLUMNS} <= keys
    assert {f"act.{act.value}" for act in Act} == {key for key in keys if key.startswith("act.")}
    assert {f"role.{role.value}" for role in Role} <= keys
    for key in re.findall(
        r'"(stale-form|other-origin|malformed|forbidden|not-found|too-slow|too-large|unavailable)"', code
    ):
        assert {f"error.{key}", f"error.{key}-do"} <= keys


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, "", "vi"),
        (None, "en-GB,en;q=0.9,vi;q=0.8", "en"),
        (None, "fr-FR, vi;q=0.3, en;q=0.7", "en"),
        (None, "de,ja", "vi"),
        (None, "en;q=0, vi;q=0.1", "vi"),
        (None, "en;q=loud", "vi"),
        ("vi", "en", "vi"),
        ("../../etc/passwd", "en", "en"),
    ],
)
def test_language_is_the_chosen_one_or_the_readers(chosen: str | None, accepted: str, language: str) -> None:
    assert words.choose(chosen, accepted) == language
