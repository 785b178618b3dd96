"""Every name on the bus."""

from __future__ import annotations

from enum import StrEnum

from bluezoned.errors import (
    AuthorityError,
    BluezonedError,
    ConfigError,
    ProtocolError,
    RadioError,
    StoreError,
)

BUS_NAME = "org.bluezoned"
PATH = "/org/bluezoned/Daemon1"
INTERFACE = "org.bluezoned.Daemon1"


def bus_name(instance: str) -> str:
    """`org.bluezoned`, or `org.bluezoned.<instance>` where several daemons share a machine."""
    return f"{BUS_NAME}.{instance}" if instance else BUS_NAME


class ErrorName(StrEnum):
    """What a call can be answered with instead of a result."""

    PROTOCOL = "org.bluezoned.Error.Protocol"
    """What was given, such as a code, has no possible form."""
    RADIO = "org.bluezoned.Error.Radio"
    AUTHORITY = "org.bluezoned.Error.Authority"
    STORE = "org.bluezoned.Error.Store"
    CONFIG = "org.bluezoned.Error.Config"
    FAILED = "org.bluezoned.Error.Failed"
    """Any other reason that the daemon can name."""
    TOO_OFTEN = "org.bluezoned.Error.TooOften"
    """A verb that changes something was called again too soon."""
    INTERNAL = "org.bluezoned.Error.Internal"
    """A fault of the daemon; the log says where, the caller learns no more."""


_BY_KIND: dict[type[BluezonedError], ErrorName] = {
    ProtocolError: ErrorName.PROTOCOL,
    RadioError: ErrorName.RADIO,
    AuthorityError: ErrorName.AUTHORITY,
    StoreError: ErrorName.STORE,
    ConfigError: ErrorName.CONFIG,
}


def error_name(error: BluezonedError) -> ErrorName:
    """The bus's name for one of our errors."""
    return next((name for kind, name in _BY_KIND.items() if isinstance(error, kind)), ErrorName.FAILED)
