"""The estimator's thresholds and other constants, as its sources tell them, and the same estimator with one changed."""

from __future__ import annotations

import ast
import contextlib
import inspect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from bluezoned.tracing import loudness, proximity

ROOMS = (proximity, loudness)
"""Where the estimator lives. Neither takes a constant from the other."""

HALVED_AND_DOUBLED: dict[str, tuple[object, object]] = {
    "STRENGTH": (proximity.STRENGTH / 2, proximity.STRENGTH * 2),
    "FEW": (proximity.FEW // 2, proximity.FEW * 2),
    "BOUNDARY": (proximity.BOUNDARY / 2, proximity.BOUNDARY * 2),
    "SCATTER": (proximity.SCATTER / 2, proximity.SCATTER * 2),
    "SHARED_SPREAD": (proximity.SHARED_SPREAD / 2, proximity.SHARED_SPREAD * 2),
    "SHARED_SPREAD_TOLD": (proximity.SHARED_SPREAD_TOLD / 2, proximity.SHARED_SPREAD_TOLD * 2),
    "OWN_SCATTER": (proximity.OWN_SCATTER / 2, proximity.OWN_SCATTER * 2),
    "OFFSET_PEERS": (loudness.OFFSET_PEERS / 2, loudness.OFFSET_PEERS * 2),
    "CROWD_QUIET": (loudness.CROWD_QUIET / 2, loudness.CROWD_QUIET * 2),
    "CROWD_LOUD": (1 - (1 - loudness.CROWD_LOUD) / 2, 1 - (1 - loudness.CROWD_LOUD) * 2),
    "CROWD_BOUND": (loudness.CROWD_BOUND / 2, loudness.CROWD_BOUND * 2),
    "FEWEST_TOLD": (loudness.FEWEST_TOLD // 2, loudness.FEWEST_TOLD * 2),
    "TOLD_GRAIN": (loudness.TOLD_GRAIN // 2, loudness.TOLD_GRAIN * 2),
    "TOLD_BOUND": (loudness.TOLD_BOUND // 2, loudness.TOLD_BOUND * 2),
    "COMPANY": (loudness.COMPANY // 2, loudness.COMPANY * 2),
    "LONG_ENOUGH": (loudness.LONG_ENOUGH // 2, loudness.LONG_ENOUGH * 2),
    "KERNEL": ((1.0, 2.0, 1.0), (1.0, 2.0, 3.0, 4.0, 5.0, 4.0, 3.0, 2.0, 1.0)),
    "BRIDGED": (proximity.BRIDGED // 2, proximity.BRIDGED * 2),
}
"""Of the kernel the width, of the loud share what lies above it, of the rest the number."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """As it stands in the source."""

    name: str
    value: object
    reason: str
    """Its docstring, one paragraph."""


def thresholds() -> list[Threshold]:
    """Every public constant of the estimator, in order, with the reason that stands below it."""
    return [found for room in ROOMS for found in _stated(room)]


def _stated(room: ModuleType) -> Iterator[Threshold]:
    for node, below in itertools.pairwise(ast.parse(inspect.getsource(room)).body):
        if not (isinstance(node, ast.Assign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)):
            continue
        name = ast.unparse(node.targets[0])
        if name.isupper() and not name.startswith("_"):
            yield Threshold(name, getattr(room, name), " ".join(str(below.value.value).split()))


@contextlib.contextmanager
def changed(name: str, value: object) -> Iterator[None]:
    """The estimator with another value of one constant."""
    room = next(room for room in ROOMS if hasattr(room, name))
    before = getattr(room, name)
    _set(room, name, value)
    try:
        yield
    finally:
        _set(room, name, before)


def _set(room: ModuleType, name: str, value: object) -> None:
    setattr(room, name, value)
    if name == "STRENGTH":
        proximity._STRENGTHS = proximity.strengths(proximity.STRENGTH)  # the table that was made of it
