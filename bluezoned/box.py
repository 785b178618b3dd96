"""One box put together from its settings: the heart's units from the operator's, the parts from their rooms.

Layer 4: used by the program and by whoever runs boxes by the dozen.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bluezoned import config as options
from bluezoned.config import Config
from bluezoned.errors import ConfigError
from bluezoned.protocols import registry
from bluezoned.protocols.bluezone import KeySchedule
from bluezoned.protocols.protocol import DAY, ReportType, TracingProtocol
from bluezoned.tracing.device import Settings
from bluezoned.tracing.exposure import Band, ByAttenuation, Infectiousness, RiskLevel, RiskModel, by_nearness, weights
from bluezoned.tracing.proximity import MINUTE, Ranging

SECOND = 1000


def settings(config: Config) -> Settings:
    """What the device needs to know. ConfigError when the authority's key cannot be read."""
    schedule = KeySchedule(config.beacon.key_schedule)
    names = dict.fromkeys((config.beacon.protocol, *config.beacon.listen))
    protocols: dict[str, TracingProtocol] = {name: registry.by_name(name, schedule) for name in names}
    return Settings(
        advertised=protocols[config.beacon.protocol],
        heard=protocols,
        authority_key=_authority_key(config),
        tx_power=config.radio.tx_power_dbm,
        ranging=Ranging(
            attenuation_1m=config.proximity.attenuation_1m_db,
            receive_offset=config.proximity.receive_offset_db,
            assumed_tx_power=config.proximity.assumed_tx_power_dbm,
        ),
        model=risk_model(config.exposure),
        silence=config.encounter.silence_s * SECOND,
        retention=config.beacon.retention_days * DAY,
    )


def risk_model(exposure: options.Exposure) -> RiskModel:
    """The rule in force. Low risk begins at a third of the minutes that make an exposure, as a hint without alarm."""
    transmission = weights(
        {
            ReportType.UNKNOWN: exposure.weight_confirmed_test,
            ReportType.CONFIRMED_TEST: exposure.weight_confirmed_test,
            ReportType.CONFIRMED_CLINICAL: exposure.weight_confirmed_clinical,
            ReportType.SELF_REPORT: exposure.weight_self_report,
            # What a contact published; that it is no confirmed case is said by its tier.
            ReportType.RECURSIVE: exposure.weight_confirmed_test,
        },
        {
            Infectiousness.STANDARD: exposure.weight_standard_infectiousness,
            Infectiousness.HIGH: exposure.weight_high_infectiousness,
        },
    )
    edges = (0, *exposure.bucket_thresholds_db, None)
    buckets = ByAttenuation(
        tuple(
            Band(low or 0, high, weight)
            for low, high, weight in zip(edges, edges[1:], exposure.bucket_weights, strict=False)
        )
    )
    return RiskModel(
        weigh=by_nearness if exposure.rule == "near" else buckets,
        transmission=transmission,
        day_levels=(
            Band(exposure.minutes / 3, exposure.minutes, RiskLevel.LOW),
            Band(exposure.minutes, None, RiskLevel.HIGH),
        ),
        longest_window=exposure.window_minutes * MINUTE,
    )


def _authority_key(config: Config) -> ec.EllipticCurvePublicKey | None:
    pem = options.public_key_pem(config.authority)
    if not pem:
        return None
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise ConfigError("authority.public_key: not a PEM public key") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError("authority.public_key: not an ECDSA P-256 key")
    return key
