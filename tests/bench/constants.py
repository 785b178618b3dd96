"""The estimator's constants as its source tells them, and the same estimator with one of them changed."""

from __future__ import annotations

import ast
import contextlib
import inspect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from bluezoned.tracing import proximity

HALVED_AND_DOUBLED: dict[str, tuple[object, object]] = {
    "STRENGTH": (proximity.STRENGTH / 2, proximity.STRENGTH * 2),
    "FEW": (proximity.FEW // 2, proximity.FEW * 2),
    "BOUNDARY": (proximity.BOUNDARY / 2, proximity.BOUNDARY * 2),
    "SCATTER": (proximity.SCATTER / 2, proximity.SCATTER * 2),
    "SHARED_SPREAD": (proximity.SHARED_SPREAD / 2, proximity.SHARED_SPREAD * 2),
    "SHARED_SPREAD_TOLD": (proximity.SHARED_SPREAD_TOLD / 2, proximity.SHARED_SPREAD_TOLD * 2),
    "OWN_SCATTER": (proximity.OWN_SCATTER / 2, proximity.OWN_SCATTER * 2),
    "OFFSET_PEERS": (proximity.OFFSET_PEERS / 2, proximity.OFFSET_PEERS * 2),
    "CROWD_QUIET": (proximity.CROWD_QUIET / 2, proximity.CROWD_QUIET * 2),
    "CROWD_LOUD": (1 - (1 - proximity.CROWD_LOUD) / 2, 1 - (1 - proximity.CROWD_LOUD) * 2),
    "CROWD_BOUND": (proximity.CROWD_BOUND / 2, proximity.CROWD_BOUND * 2),
    "FEWEST_TOLD": (proximity.FEWEST_TOLD // 2, proximity.FEWEST_TOLD * 2),
    "TOLD_GRAIN": (proximity.TOLD_GRAIN // 2, proximity.TOLD_GRAIN * 2),
    "TOLD_BOUND": (proximity.TOLD_BOUND // 2, proximity.TOLD_BOUND * 2),
    "KERNEL": ((1.0, 2.0, 1.0), (1.0, 2.0, 3.0, 4.0, 5.0, 4.0, 3.0, 2.0, 1.0)),
    "BRIDGED": (proximity.BRIDGED // 2, proximity.BRIDGED * 2),
}
"""Of the kernel the width, of the loud share what lies above it, of the rest the number."""


@dataclass(frozen=True, slots=True)
class Constant:
    """As it stands in the source."""

    name: str
    value: object
    reason: str
    """Its docstring, one paragraph."""


def constants() -> list[Constant]:
    """Every public constant of the estimator, in order, with the reason that stands below it."""
    body = ast.parse(inspect.getsource(proximity)).body
    found = []
    for node, below in itertools.pairwise(body):
        if not (isinstance(node, ast.Assign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)):
            continue
        name = ast.unparse(node.targets[0])
        if name.isupper() and not name.startswith("_"):
            found.append(Constant(name, getattr(proximity, name), " ".join(str(below.value.value).split())))
    return found


@contextlib.contextmanager
def changed(name: str, value: object) -> Iterator[None]:
    """The estimator with another value of one constant."""
    before = getattr(proximity, name)
    _set(name, value)
    try:
        yield
    finally:
        _set(name, before)


def _set(name: str, value: object) -> None:
    setattr(proximity, name, value)
    if name == "STRENGTH":
        proximity._STRENGTHS = proximity.strengths(proximity.STRENGTH)  # the table that was made of it
