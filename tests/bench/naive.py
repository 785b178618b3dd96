"""The obvious way to match GAEN keys, as hobby implementations do: each identifier derived by itself and looked up."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bluezoned.protocols.protocol import DAY
from bluezoned.tracing.store import Store
from tests.bench.national_day import FIRST_DAY, STORE_KEY


def microseconds(database: Path, keys: int) -> float:
    """Processor time a key, of random keys against what the store holds."""
    with Store(database, STORE_KEY, os.urandom) as store:
        heard = {bytes(e.payload.rolling_id) for e in store.encounters(0, (FIRST_DAY + 20) * DAY)}
    secrets = [os.urandom(16) for _ in range(keys)]
    begun = time.process_time()
    found = [secret for secret in secrets if _was_met(secret, heard)]
    assert not found
    return (time.process_time() - begun) * 1e6 / keys


def _was_met(secret: bytes, heard: set[bytes]) -> bool:
    first = FIRST_DAY * 144
    key = HKDF(algorithm=SHA256(), length=16, salt=None, info=b"EN-RPIK").derive(secret)
    return any(_rolling_id(key, interval) in heard for interval in range(first, first + 144))


def _rolling_id(key: bytes, interval: int) -> bytes:
    block = b"EN-RPI" + bytes(6) + interval.to_bytes(4, "little")
    return Cipher(algorithms.AES128(key), modes.ECB()).encryptor().update(block)


if __name__ == "__main__":
    print(json.dumps({"us": microseconds(Path(sys.argv[1]), 200)}))
