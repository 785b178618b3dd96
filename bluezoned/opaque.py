"""Bytes that must never be read by a person: rolling ids, keys, seeds, sealed metadata.

Holds the one type that keeps them out of logs, errors and tracebacks by construction.
"""


class Opaque(bytes):
    """Bytes whose text form is their length alone: `repr`, `str` and f-strings print `<16 bytes>`.

    Equal to and hashed like the same plain `bytes`, so it serves as a key of sets and tables.
    Slicing gives plain `bytes`: wrap again what stays secret.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)
