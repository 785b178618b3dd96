"""The error tree, drawn once. Every error says what to do; none carries an identifier, key or address.

BluezonedError
├── ProtocolError     the peer's bytes are not what the protocol says
├── RadioError        our own Bluetooth
├── AuthorityError    the authority's server, what it signed, or the way to it
├── StoreError        the local database or spool
├── AlertError        light, buzzer and buttons
└── ConfigError       the operator's settings
"""


class BluezonedError(Exception):
    """Anything this project raises on purpose."""


class ProtocolError(BluezonedError):
    """Bytes that claim to follow a protocol and do not."""


class RadioError(BluezonedError):
    """The Bluetooth adapter, bluetoothd or the ether failed us."""


class AuthorityError(BluezonedError):
    """The authority, something that it signed, or the way to it."""


class StoreError(BluezonedError):
    """The local database or the spool."""


class AlertError(BluezonedError):
    """The light, the buzzer or a button."""


class ConfigError(BluezonedError):
    """A setting that the operator must mend."""
