"""Numbers for the world outside: by day, and none so small that somebody could be found in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

FLOOR = 10
"""The smallest number that is told; below, only that it is below. Google's verification servers use the same. There are
no sums: from a sum and the days that are told, the one that is not could be reckoned."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One day."""

    day: date
    count: int | None
    """None: fewer than FLOOR, perhaps none."""
    height: int
    """Of 100."""


@dataclass(frozen=True, slots=True)
class Series:
    """One thing that was counted."""

    name: str
    bars: tuple[Bar, ...]
    top: int
    """What 100 stands for."""


def by_day(
    moments: Mapping[str, Sequence[int]], days: Sequence[date], local_date: Callable[[int], date]
) -> list[Series]:
    """Of whole days alone: a number that is watched as it grows past the floor would tell who was the tenth."""
    found = []
    for name, instants in moments.items():
        counts = Counter(local_date(at) for at in instants)
        told = [counts[day] if counts[day] >= FLOOR else None for day in days]
        top = _round(max((count for count in told if count is not None), default=FLOOR))
        bars = (
            Bar(day, count, 0 if count is None else round(100 * count / top))
            for day, count in zip(days, told, strict=True)
        )
        found.append(Series(name, tuple(bars), top))
    return found


def _round(count: int) -> int:
    """Up to 1, 2 or 5 with zeros, for the axis."""
    size: int = 10 ** (len(str(count)) - 1)
    return next(step * size for step in (1, 2, 5, 10) if step * size >= count)
