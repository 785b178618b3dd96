"""Laboratories: machines of others that open cases for what they found, by a token with a scope and a daily quota."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import Enum

from bluezoned.authority.authority import Secrets
from bluezoned.authority.case import CaseError, CaseProblem
from bluezoned.authority.exchange_store import ExchangeRecords, Laboratory
from bluezoned.authority.office import Office, Registered, Registration
from bluezoned.authority.register_store import Entry, RegisterRecords
from bluezoned.authority.staff import Actor
from bluezoned.authority.staff_store import Act, StaffRecords, Wanted
from bluezoned.authority.store import Store
from bluezoned.authority.verification import Kind
from bluezoned.errors import AuthorityError
from bluezoned.protocols.protocol import DAY, Random

SCOPES = frozenset({"issue", "revoke", "status"})

PER_MINUTE = 60
"""Requests of one laboratory; an analyser that reports a plate of 96 at once takes two minutes for it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{1,59}")


class Denial(Enum):
    """Why a laboratory is not served."""

    UNKNOWN = "this token is not known"
    SCOPE = "this token may not do that"
    TOO_FAST = "too many requests in the last minute"
    QUOTA = "the quota of the last 24 hours is used up"


class LaboratoryError(AuthorityError):
    """A laboratory is not served, or cannot be added."""

    def __init__(self, denial: Denial | None, sentence: str = "") -> None:
        super().__init__(sentence if denial is None else denial.value)
        self.denial = denial


@dataclass(frozen=True, slots=True)
class CaseStatus:
    """What a laboratory may know of a case."""

    state: str
    """As `register_store.Entry.state`."""
    expires: int | None
    """ms, of its newest code; None where it has none."""


class Laboratories:
    """Who they are and what they may."""

    def __init__(self, store: Store, office: Office, secrets: Secrets, random: Random) -> None:
        self._store = store
        self._office = office
        self._secrets = secrets
        self._random = random

    def add(self, name: str, scope: frozenset[str], per_day: int, at: int) -> str:
        """Its token, which can be read this once. LaboratoryError when it cannot be called that or is there already."""
        if not _NAME.fullmatch(name) or not scope or not scope <= SCOPES:
            raise LaboratoryError(None, "a laboratory has a name of 2 to 60 letters and digits, and a scope of: "
                                  f"{', '.join(sorted(SCOPES))}")  # fmt: skip
        token = "bzl_" + base64.urlsafe_b64encode(self._random(32)).decode().rstrip("=")
        with self._store.transaction() as transaction:
            records = ExchangeRecords(transaction.connection)
            if any(known.name == name for known in records.laboratories()):
                raise LaboratoryError(None, "there is a laboratory of that name already: remove it first")
            records.put_laboratory(name, self._digest(token), scope, per_day, at)
        return token

    def remove(self, name: str) -> None:
        """Its token is worth nothing from now on. LaboratoryError when there is none."""
        with self._store.transaction() as transaction:
            if not ExchangeRecords(transaction.connection).remove_laboratory(name):
                raise LaboratoryError(None, "there is no such laboratory")

    def all(self) -> list[Laboratory]:
        """By name."""
        with self._store.snapshot() as seen:
            return ExchangeRecords(seen.connection).laboratories()

    def register(self, token: str, registration: Registration, kind: Kind, at: int) -> Registered:
        """A new case and its code. LaboratoryError, CaseError."""
        actor = self._admitted(token, "issue", at)
        return self._office.register_all(actor, [registration], kind, at)[0]

    def revoke(self, token: str, case_id: str, at: int) -> list[str]:
        """As Office.revoke, of a case that this laboratory opened. LaboratoryError; CaseError for every other case: a
        stolen token takes back nothing of others."""
        actor = self._admitted(token, "revoke", at)
        self._own_case(actor, case_id)
        return self._office.revoke(actor, case_id, at)

    def status(self, token: str, case_id: str, at: int) -> CaseStatus:
        """How it stands with a case that this laboratory opened. LaboratoryError; CaseError for every other case, so
        that nobody can look around."""
        entry = self._own_case(self._admitted(token, "status", at), case_id)
        newest = max((code.expires for code in entry.codes), default=None)
        return CaseStatus(entry.state(at), newest)

    def _own_case(self, actor: Actor, case_id: str) -> Entry:
        """By the audit log, of which nothing can be changed."""
        opened = Wanted(actor=actor.name, act=Act.CASE_OPENED.value, subject=case_id)
        with self._store.snapshot() as seen:
            entry = RegisterRecords(seen.connection).entry(case_id)
            if entry is None or not StaffRecords(seen.connection).entries(opened, 1):
                raise CaseError(CaseProblem.UNKNOWN)
        return entry

    def _admitted(self, token: str, scope: str, at: int) -> Actor:
        """Looked up by a keyed hash, so that no comparison's time depends on the token. Counted in any case."""
        with self._store.transaction() as transaction:
            records = ExchangeRecords(transaction.connection)
            known = records.locked_laboratory(self._digest(token))
            if known is None:
                raise LaboratoryError(Denial.UNKNOWN)
            if records.requests(known.id, at - 60_000) >= PER_MINUTE:
                raise LaboratoryError(Denial.TOO_FAST)
            if records.requests(known.id, at - DAY) >= known.per_day:
                raise LaboratoryError(Denial.QUOTA)
            records.put_request(known.id, at)
        if scope not in known.scope:
            raise LaboratoryError(Denial.SCOPE)
        return Actor(f"laboratory {known.name}")

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._secrets.pepper, b"bluezoned laboratory" + token.encode(), hashlib.sha256)
