"""Where an authority keeps its files, and its settings.

DIR/authority.toml    settings              DIR/keys/       secrets, 0600
DIR/authority.db      database              DIR/public/     what is published: index, batches/
DIR/device.toml       for the boxes that shall believe it
"""

from __future__ import annotations

import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from msgspec import Meta

from bluezoned import upload
from bluezoned.authority.authority import Authority, Secrets
from bluezoned.authority.publish import Publisher, write_whole
from bluezoned.authority.store import Store, open_engine
from bluezoned.errors import ConfigError
from bluezoned.protocols.protocol import DAY


class Name(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section [authority]."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")] = "authority"
    region: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{0,16}\Z")] = "VN"


class Publish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section [publish]."""

    every_s: Annotated[int, Meta(ge=60, le=86_400)] = 3600
    retention_days: Annotated[int, Meta(ge=1, le=30)] = 14


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """authority.toml."""

    authority: Name = Name()
    publish: Publish = Publish()


@dataclass(frozen=True, slots=True)
class House:
    """An authority's directory, opened."""

    settings: Settings
    secrets: Secrets
    store: Store
    authority: Authority
    publisher: Publisher

    def close(self) -> None:
        self.store.close()


def found(directory: Path, name: str) -> None:
    """Make a new authority in `directory`: its keys, settings and database. ConfigError when there is one already."""
    keys = directory / "keys"
    if (keys / "signing.pem").exists():
        raise ConfigError(f"{directory} holds an authority already; its keys are not replaced")
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    signing_key = ec.generate_private_key(ec.SECP256R1())
    write_whole(keys / "sealing.key", upload.generate_sealing_key(), 0o600)
    write_whole(keys / "pepper.key", secrets.token_bytes(32), 0o600)
    write_whole(directory / "authority.toml", f'[authority]\nname = "{name}"\n'.encode())
    public = public_key_pem(signing_key)
    write_whole(directory / "device.toml", _DEVICE_TOML.format(name=name, public_key=public).encode())
    # The signing key last: its presence says that the rest is there.
    pem = signing_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_whole(keys / "signing.pem", pem, 0o600)
    open_house(directory).close()


def open_house(directory: Path) -> House:
    """The authority in `directory`. ConfigError when there is none or its settings are wrong."""
    try:
        signing_key = load_pem_private_key((directory / "keys" / "signing.pem").read_bytes(), None)
        sealing_key = (directory / "keys" / "sealing.key").read_bytes()
        pepper = (directory / "keys" / "pepper.key").read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{directory} holds no authority: bluezone-authority init --data {directory}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"the keys in {directory / 'keys'} cannot be read: {type(error).__name__}") from error
    if not isinstance(signing_key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{directory / 'keys' / 'signing.pem'} is not an elliptic curve key")
    settings = read_settings(directory / "authority.toml")
    kept = Secrets(signing_key, sealing_key, pepper)
    store = Store(open_engine(f"sqlite:///{directory / 'authority.db'}"))
    publisher = Publisher(
        store,
        kept,
        directory / "public",
        settings.authority.name,
        settings.authority.region,
        settings.publish.retention_days * DAY,
    )
    return House(settings, kept, store, Authority(store, kept, secrets.token_bytes), publisher)


def read_settings(path: Path) -> Settings:
    """The settings in `path`, defaults where it does not exist. ConfigError names the file and the option."""
    if not path.exists():
        return Settings()
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Settings)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error


def public_key_pem(signing_key: ec.EllipticCurvePrivateKey) -> str:
    """What boxes pin."""
    return signing_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


_DEVICE_TOML = '''# For the boxes that shall believe the authority "{name}": a file for their
# /etc/bluezoned/bluezoned.toml.d/
[authority]
# Where they reach it; https except on this machine.
url = "https://authority.example"
public_key = """
{public_key}"""
'''
