"""Where an authority keeps its files, and how it is founded and opened.

DIR/authority.toml    settings              DIR/keys/       secrets, 0600
DIR/authority.db      database, 0600        DIR/public/     what is published: index, batches/
DIR/device.toml       for the boxes that shall believe it
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from bluezoned import upload
from bluezoned.authority import settings
from bluezoned.authority.authority import Authority, Secrets
from bluezoned.authority.database import Database, open_database
from bluezoned.authority.enrolment import Enrolment
from bluezoned.authority.exchange import Exchange
from bluezoned.authority.laboratory import Laboratories
from bluezoned.authority.office import Office
from bluezoned.authority.personnel import Personnel
from bluezoned.authority.publish import Manner, Publisher
from bluezoned.authority.s3_shelf import S3Shelf
from bluezoned.authority.settings import Settings
from bluezoned.authority.shelf import DirectoryShelf, Shelf, write_whole
from bluezoned.authority.sign_in import SignIn
from bluezoned.authority.store import Store
from bluezoned.errors import ConfigError
from bluezoned.protocols.protocol import DAY, Random
from bluezoned.upload import UploadError


@dataclass(frozen=True, slots=True)
class House:
    """An authority's directory, opened."""

    settings: Settings
    secrets: Secrets
    database: Database
    store: Store
    authority: Authority
    publisher: Publisher
    office: Office
    personnel: Personnel
    door: SignIn
    enrolment: Enrolment
    exchange: Exchange
    laboratories: Laboratories

    def close(self) -> None:
        self.database.close()


def found_house(directory: Path, name: str, random: Random) -> None:
    """Make a new authority in `directory`: its keys, settings and database. Killed on the way, it can be done again.
    ConfigError when there is one already or it cannot be; a settings file that is there is kept."""
    settings.require_name(name)
    keys = directory / "keys"
    if (keys / "signing.pem").exists():
        raise ConfigError(f"{directory} holds an authority already; its keys are not replaced")
    toml = directory / "authority.toml"
    if toml.exists():
        name = settings.read(toml).authority.name
    signing_key = ec.generate_private_key(ec.SECP256R1())
    try:
        directory.mkdir(parents=True, exist_ok=True)
        keys.mkdir(exist_ok=True, mode=0o700)
        if not toml.exists():
            write_whole(toml, settings.template(name).encode())
        device_toml = _DEVICE_TOML.format(name=name, public_key=public_key_pem(signing_key))
        write_whole(directory / "device.toml", device_toml.encode())
        write_whole(keys / "sealing.key", upload.generate_sealing_key(), 0o600)
        write_whole(keys / "pepper.key", random(32), 0o600)
        # The signing key last: its presence says that the rest is there.
        pem = signing_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_whole(keys / "signing.pem", pem, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot make an authority in {directory}: {error.strerror}") from error
    open_house(directory, random).close()


def open_house(directory: Path, random: Random) -> House:
    """The authority in `directory`. ConfigError when there is none or its keys or settings are wrong; StoreError when
    its database is."""
    kept = _secrets(directory)
    chosen = settings.read(directory / "authority.toml")
    database = open_database(chosen.database.url or f"sqlite:///{_database_file(directory)}")
    store = Store(database)
    manner = Manner(
        chosen.authority.name,
        chosen.authority.region,
        chosen.publish.least_keys,
        chosen.publish.retention_days * DAY,
        chosen.publish.index_lifetime_days * DAY,
    )
    publisher = Publisher(store, kept, _shelf(chosen, directory), manner, random)
    authority = Authority(store, kept, random)
    office = Office(store, authority)
    door = SignIn(store, kept, random)
    return House(
        chosen,
        kept,
        database,
        store,
        authority,
        publisher,
        office,
        Personnel(store, kept, random),
        door,
        Enrolment(store, kept, random, door),
        Exchange(store, authority, kept, chosen.authority.name, random),
        Laboratories(store, office, kept, random),
    )


def _shelf(chosen: Settings, directory: Path) -> Shelf:
    bucket = chosen.bucket
    if not bucket.name:
        return DirectoryShelf(directory / "public")
    return S3Shelf(bucket.endpoint, bucket.region, bucket.name, bucket.prefix)


def _secrets(directory: Path) -> Secrets:
    keys = directory / "keys"
    try:
        signing_key = load_pem_private_key((keys / "signing.pem").read_bytes(), None)
        sealing_key, pepper = (keys / "sealing.key").read_bytes(), (keys / "pepper.key").read_bytes()
        upload.public_sealing_key(sealing_key)
    except FileNotFoundError as error:
        if error.filename == str(keys / "signing.pem"):
            raise ConfigError(f"{directory} holds no authority: bluezone-authority init --data {directory}") from None
        raise ConfigError(f"{error.filename} is missing: restore it from a backup") from None
    except (OSError, ValueError, UploadError) as error:
        raise ConfigError(f"the keys in {keys} cannot be read: {type(error).__name__}") from error
    if not isinstance(signing_key, ec.EllipticCurvePrivateKey) or not isinstance(signing_key.curve, ec.SECP256R1):
        raise ConfigError(f"{keys / 'signing.pem'} is not a P-256 key")
    return Secrets(signing_key, sealing_key, pepper)


def _database_file(directory: Path) -> Path:
    """Its path, 0600 before anything is in it: it holds keys that are not published yet."""
    path = directory / "authority.db"
    try:
        path.touch(mode=0o600)
    except OSError as error:
        raise ConfigError(f"cannot use {path}: {error.strerror}") from error
    return path


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
