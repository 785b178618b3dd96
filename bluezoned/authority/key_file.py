"""The authority's keys as files below DIR/keys, each 0600.

The signing key may be a systemd credential instead: then the file holds its public half alone, which says what
credential is meant.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from bluezoned import key_rotation, upload
from bluezoned.authority.authority import Secrets
from bluezoned.authority.shelf import write_whole
from bluezoned.errors import ConfigError
from bluezoned.upload import UploadError

CREDENTIAL = "bluezone-authority.signing-key"
"""Name of the credential: a private key as PEM."""

SIGNING = "signing.pem"
NEXT = "signing.next.pem"
_OLD = "signing.old.pem"


def read(directory: Path, credentials: Path | None) -> Secrets:
    """Those of the authority in `directory`. ConfigError when there is none, or a key is missing or wrong."""
    keys = directory / "keys"
    try:
        signing_key = _signing_key(keys / SIGNING, credentials)
        sealing_key, pepper = (keys / "sealing.key").read_bytes(), (keys / "pepper.key").read_bytes()
        upload.public_sealing_key(sealing_key)
    except FileNotFoundError as error:
        if error.filename == str(keys / SIGNING):
            raise ConfigError(f"{directory} holds no authority: bluezone-authority init --data {directory}") from None
        raise ConfigError(f"{error.filename} is missing: restore it from a backup") from None
    except (OSError, ValueError, UnsupportedAlgorithm, UploadError) as error:
        raise ConfigError(f"the keys in {keys} cannot be read: {type(error).__name__}") from error
    return Secrets(signing_key, sealing_key, pepper)


def _signing_key(path: Path, credentials: Path | None) -> ec.EllipticCurvePrivateKey:
    content = path.read_bytes()
    if b"-----BEGIN PUBLIC KEY-----" not in content:
        return _private(path, content)
    public = load_pem_public_key(content)
    sealed = None if credentials is None else credentials / CREDENTIAL
    if sealed is None or not sealed.exists():
        raise ConfigError(f"the signing key is the credential {CREDENTIAL}, and this process has none: run it by the "
                          "service, or by systemd-run with LoadCredentialEncrypted")  # fmt: skip
    found = _private(sealed, sealed.read_bytes())
    if not isinstance(public, ec.EllipticCurvePublicKey) or key_rotation.point(public) != key_rotation.point(
        found.public_key()
    ):
        raise ConfigError(f"the credential {CREDENTIAL} is not the key whose public half is in {path}")
    return found


def _private(path: Path, content: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(content, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(f"{path} is not a P-256 key")
    return key


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


# rotation


def read_next(keys: Path) -> ec.EllipticCurvePrivateKey | None:
    """The key of a rotation that has not ended. ConfigError when it is none."""
    path = keys / NEXT
    return _private(path, path.read_bytes()) if path.exists() else None


def replace(keys: Path, new: ec.EllipticCurvePrivateKey) -> None:
    """The new signing key in the place of the old one, which is kept beside it where it was a file. Killed on the way,
    it can be done again."""
    old = (keys / SIGNING).read_bytes()
    if b"PRIVATE KEY" in old and old != pem(new):
        write_whole(keys / _OLD, old, 0o600)
    write_whole(keys / SIGNING, pem(new), 0o600)
    (keys / NEXT).unlink(missing_ok=True)
