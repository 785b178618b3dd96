"""The signing key as a systemd credential: a file in a directory that only the service is given."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from bluezoned import key_index, key_rotation
from bluezoned.authority import key_file
from bluezoned.authority.house import found_house, open_house, rotate_signing_key
from bluezoned.authority.key_file import CREDENTIAL
from bluezoned.demo.cast import program
from bluezoned.errors import ConfigError
from tests.authority.ward import NOON
from tests.test_units import needs_systemd

UNIT = Path(__file__).parents[2] / "systemd" / "bluezone-authority.service"


class Sealed:
    """An authority whose signing key was taken out of its directory."""

    def __init__(self, directory: Path) -> None:
        self.data, self.credentials = directory / "ward", directory / "credentials"
        found_house(self.data, "ward", os.urandom)
        self.credentials.mkdir()
        self.put(self.file.read_bytes())
        self.public = open_house(self.data, os.urandom).secrets.signing_key.public_key()
        self.file.write_bytes(self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    @property
    def file(self) -> Path:
        return self.data / "keys" / "signing.pem"

    def put(self, pem: bytes) -> None:
        (self.credentials / CREDENTIAL).write_bytes(pem)


@pytest.fixture
def sealed(tmp_path: Path) -> Sealed:
    return Sealed(tmp_path)


def published(sealed: Sealed, *environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ("env", *environment, program("bluezone-authority"), "publish", "--data", sealed.data),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_program_signs_with_the_credential(sealed: Sealed) -> None:
    done = published(sealed, f"CREDENTIALS_DIRECTORY={sealed.credentials}")

    assert done.returncode == 0, done.stderr
    assert key_index.read((sealed.data / "public" / "index").read_bytes(), sealed.public).authority == "ward"
    assert not any(b"PRIVATE" in path.read_bytes() for path in (sealed.data / "keys").iterdir())


class Recipe:
    """That of docs/operations.md as it is written, in other directories, on a machine whose systemd is not running."""

    def __init__(self, directory: Path) -> None:
        page = (UNIT.parents[1] / "docs" / "operations.md").read_text()
        self._lines = page[page.index("    cd /var/lib/bluezone-authority/keys\n") : page.index("An SD card or SSD")]
        self.data, self.safe, self.etc = directory / "ward", directory / "safe", directory / "etc"
        found_house(self.data, "ward", os.urandom)
        self.safe.mkdir()
        for written, here in (("/var/lib/bluezone-authority", self.data), ("/media/SAFE", self.safe),
                              ("/etc/", f"{self.etc}/")):  # fmt: skip
            self._lines = self._lines.replace(written, str(here))
        self.key = (self.data / "keys" / "signing.pem").read_bytes()
        self.environment = os.environ | {"SYSTEMD_CREDENTIAL_SECRET": str(directory / "machine.secret")}

    @property
    def sealed(self) -> Path:
        return self.etc / "credstore.encrypted" / CREDENTIAL

    def run(self, broken: str = "") -> None:
        """As somebody types it: what fails does not stop what follows. `broken`: a command that fails."""
        # A dash in a function's name is not known to every shell.
        word = broken.replace("-", "_")
        doubles = "systemctl() { :; }\nchown() { :; }\n" + (f"{word}() {{ false; }}\n" if broken else "")
        lines = self._lines.replace(broken, word) if broken else self._lines
        subprocess.run(("sh", "-c", doubles + lines), env=self.environment, check=True, timeout=60)


@needs_systemd
def test_recipe_of_the_operations_page_seals_the_key_and_the_program_signs_with_it(tmp_path: Path) -> None:
    recipe, given = Recipe(tmp_path), tmp_path / "given"
    public = open_house(recipe.data, os.urandom).secrets.signing_key.public_key()
    given.mkdir()

    recipe.run()

    assert (recipe.safe / "signing.pem").read_bytes() == recipe.key
    assert not any(b"PRIVATE" in path.read_bytes() for path in (recipe.data / "keys").iterdir())
    dropped = (recipe.etc / "systemd" / "system" / "bluezone-authority.service.d" / "signing-key.conf").read_text()
    assert dropped == f"[Service]\nLoadCredentialEncrypted={CREDENTIAL}\n"
    # What the manager does for the service.
    subprocess.run(("systemd-creds", "decrypt", recipe.sealed, given / CREDENTIAL), env=recipe.environment, check=True)
    signing = (program("bluezone-authority"), "publish", "--data", recipe.data)
    done = subprocess.run(signing, env=os.environ | {"CREDENTIALS_DIRECTORY": str(given)}, timeout=60)
    assert done.returncode == 0
    assert key_index.read((recipe.data / "public" / "index").read_bytes(), public).authority == "ward"


@needs_systemd
@pytest.mark.parametrize("broken", ["systemd-creds", "cp"])
def test_recipe_destroys_no_key_that_does_not_open_again_or_has_no_copy(tmp_path: Path, broken: str) -> None:
    recipe = Recipe(tmp_path)

    recipe.run(broken)

    assert (recipe.data / "keys" / "signing.pem").read_bytes() == recipe.key


def test_without_the_credential_it_is_said_what_is_missing(sealed: Sealed) -> None:
    done = published(sealed, "-u", "CREDENTIALS_DIRECTORY")

    assert done.returncode == os.EX_CONFIG
    assert CREDENTIAL in done.stderr
    assert "systemd-run" in done.stderr


def test_another_key_is_not_signed_with(sealed: Sealed) -> None:
    sealed.put(key_file.pem(ec.generate_private_key(ec.SECP256R1())))

    with pytest.raises(ConfigError, match="not the key"):
        open_house(sealed.data, os.urandom, sealed.credentials)


@pytest.mark.parametrize("content", [b"", b"nonsense", key_file.pem(ec.generate_private_key(ec.SECP384R1()))])
def test_what_is_no_key_is_said(sealed: Sealed, content: bytes) -> None:
    sealed.put(content)

    with pytest.raises(ConfigError):
        open_house(sealed.data, os.urandom, sealed.credentials)


def test_founded_again_it_is_left_alone(sealed: Sealed) -> None:
    with pytest.raises(ConfigError, match="already"):
        found_house(sealed.data, "ward", os.urandom)


def test_rotation_leaves_the_old_key_nowhere_and_the_new_one_as_a_file(sealed: Sealed) -> None:
    rotate_signing_key(sealed.data, NOON, os.urandom, sealed.credentials)

    house = open_house(sealed.data, os.urandom, sealed.credentials)
    with house.store.snapshot() as seen:
        (rotation,) = seen.rotations()
    house.close()
    new = load_pem_private_key(sealed.file.read_bytes(), None)
    assert isinstance(new, ec.EllipticCurvePrivateKey)
    assert rotation.old == key_rotation.point(sealed.public)
    assert rotation.new == key_rotation.point(new.public_key())
    assert not (sealed.data / "keys" / "signing.old.pem").exists()


def test_unit_asks_for_the_credential_that_the_program_reads() -> None:
    assert f"LoadCredential={CREDENTIAL}" in UNIT.read_text().splitlines()
