"""What others make of the same minute, written from their descriptions: each takes levels (dBm), times (s in the
minute) and the level expected at 1 m, and tells how near."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

Judge = Callable[[Sequence[float], Sequence[float], float], float]

SCAN = 4.0
"""s: an Exposure Notification scan instance."""

NEAR_BUCKET, MEDIUM_BUCKET = 55.0, 63.0
"""dB, the upper attenuations of the buckets that count whole and half. Source: Corona-Warn-App, 2020."""

PHONE_ATTENUATION = 55.0
"""dB of attenuation that Exposure Notification's buckets expect at 1 m: our calibration takes that place."""


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, x))))


def raw_mean(rssi: Sequence[float], t: Sequence[float], level_1m: float) -> float:
    """No calibration: one threshold in dBm for all devices."""
    return logistic((statistics.fmean(rssi) + 70) / 4)


def calibrated_mean(rssi: Sequence[float], t: Sequence[float], level_1m: float) -> float:
    return logistic((statistics.fmean(rssi) - level_1m + 5) / 4)


def gaen_buckets(rssi: Sequence[float], t: Sequence[float], level_1m: float) -> float:
    """Strongest packet of each scan instance, weighed 1, 1/2 or 0 by its attenuation."""
    strongest: dict[int, float] = {}
    for level, at in zip(rssi, t, strict=True):
        scan = int(at // SCAN)
        strongest[scan] = max(level, strongest.get(scan, -math.inf))
    attenuations = [PHONE_ATTENUATION + level_1m - level for level in strongest.values()]
    weights = [1.0 if a <= NEAR_BUCKET else 0.5 if a <= MEDIUM_BUCKET else 0.0 for a in attenuations]
    # Buckets alone leave most minutes tied at 0 or 1; the mean level breaks ties, which can only help them.
    return 0.999 * statistics.fmean(weights) + 0.001 * logistic(statistics.fmean(rssi) - level_1m)


def kalman_path_loss(rssi: Sequence[float], t: Sequence[float], level_1m: float) -> float:
    """A scalar Kalman filter (process 0.05, measurement 16 dB^2), then distance by the path loss of free space."""
    level, variance = rssi[0], 16.0
    for measured in rssi[1:]:
        variance += 0.05
        gain = variance / (variance + 16.0)
        level += gain * (measured - level)
        variance *= 1 - gain
    metres = 10 ** ((level_1m - level) / 20)
    return logistic(-2 * math.log(metres / 2))


BASELINES: dict[str, Judge] = {
    "raw mean": raw_mean,
    "calibrated mean": calibrated_mean,
    "GAEN buckets": gaen_buckets,
    "Kalman path loss": kalman_path_loss,
}
