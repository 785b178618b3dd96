"""Where an authority keeps its files, and how it is founded and opened.

DIR/authority.toml    settings              DIR/keys/       secrets, 0600
DIR/authority.db      database, 0600        DIR/public/     what is published: index, batches/
DIR/device.toml       for the boxes that shall believe it
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bluezoned import key_rotation, upload
from bluezoned.authority import key_file, settings
from bluezoned.authority.authority import Authority, Secrets
from bluezoned.authority.database import Database, open_database
from bluezoned.authority.enrolment import Enrolment
from bluezoned.authority.exchange import Exchange
from bluezoned.authority.imports import Imports
from bluezoned.authority.laboratory import Laboratories
from bluezoned.authority.office import Office
from bluezoned.authority.personnel import Personnel
from bluezoned.authority.publish import Manner, Publisher
from bluezoned.authority.s3_shelf import S3Shelf
from bluezoned.authority.settings import Settings
from bluezoned.authority.shelf import DirectoryShelf, Shelf, write_whole
from bluezoned.authority.sign_in import SignIn
from bluezoned.authority.store import Store
from bluezoned.authority.subscription import Subscriptions
from bluezoned.errors import ConfigError
from bluezoned.protocols.protocol import DAY, Random


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
    imports: Imports
    subscriptions: Subscriptions

    def close(self) -> None:
        self.database.close()


def found_house(directory: Path, name: str, random: Random) -> None:
    """Make a new authority in `directory`: its keys, settings and database. Killed on the way, it can be done again.
    ConfigError when there is one already or it cannot be; a settings file that is there is kept."""
    settings.require_name(name)
    keys = directory / "keys"
    if (keys / key_file.SIGNING).exists():
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
        write_whole(keys / key_file.SIGNING, key_file.pem(signing_key), 0o600)
    except OSError as error:
        raise ConfigError(f"cannot make an authority in {directory}: {error.strerror}") from error
    open_house(directory, random).close()


def open_house(directory: Path, random: Random, credentials: Path | None = None) -> House:
    """The authority in `directory`. `credentials`: where systemd lays those of this service. ConfigError when there is
    no authority or its keys or settings are wrong; StoreError when its database is."""
    kept = key_file.read(directory, credentials)
    chosen = settings.read(directory / "authority.toml")
    database = open_database(chosen.database.url or f"sqlite:///{_database_file(directory)}")
    store = Store(database)
    kept = _end_rotation(directory, store, kept)
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
    imports = Imports(store, kept, manner.retention)
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
        imports,
        Subscriptions(store, imports),
    )


def rotate_signing_key(directory: Path, at: int, random: Random, credentials: Path | None = None) -> int:
    """A new signing key in the place of the old one, which signs the statement that it follows; when that was issued
    (ms). Killed on the way, it is ended when the authority is opened next. The old key is kept beside it, for the day
    on which the new one is lost before any box has followed, unless it came as a credential; the new one is a file
    until it is made one, too."""
    house = open_house(directory, random, credentials)
    try:
        new = ec.generate_private_key(ec.SECP256R1())
        write_whole(directory / "keys" / key_file.NEXT, key_file.pem(new), 0o600)
        with house.store.transaction() as transaction:
            earlier = transaction.rotations()
            issued = max(at, earlier[-1].issued + 1) if earlier else at
            statement = key_rotation.rotate(
                house.secrets.signing_key, new.public_key(), issued, transaction.fact("newest batch")
            )
            transaction.put_rotation(statement)
    finally:
        house.close()
    open_house(directory, random, credentials).close()
    return issued


def _end_rotation(directory: Path, store: Store, kept: Secrets) -> Secrets:
    """Puts a new signing key in its place if the database has the statement for it."""
    new = key_file.read_next(directory / "keys")
    if new is None:
        return kept
    with store.snapshot() as seen:
        rotations = seen.rotations()
    if not rotations or rotations[-1].new != key_rotation.point(new.public_key()):
        return kept  # killed before the statement was issued: the old key stands
    name = settings.read(directory / "authority.toml").authority.name
    write_whole(directory / "device.toml", _DEVICE_TOML.format(name=name, public_key=public_key_pem(new)).encode())
    key_file.replace(directory / "keys", new)
    return replace(kept, signing_key=new)


def _shelf(chosen: Settings, directory: Path) -> Shelf:
    bucket = chosen.bucket
    if not bucket.name:
        return DirectoryShelf(directory / "public")
    return S3Shelf(bucket.endpoint, bucket.region, bucket.name, bucket.prefix)


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
