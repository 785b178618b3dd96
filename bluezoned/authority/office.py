"""The acts of staff on cases and venues: each with its line in the audit log, in one transaction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bluezoned.authority import venue
from bluezoned.authority.authority import Authority, IssuedCode
from bluezoned.authority.case import Case, CaseError, CaseProblem
from bluezoned.authority.register_store import RegisterRecords
from bluezoned.authority.staff import Actor
from bluezoned.authority.staff_store import Act, StaffRecords
from bluezoned.authority.store import Store, Transaction
from bluezoned.authority.venue import Hours, Venue
from bluezoned.authority.verification import Kind
from bluezoned.protocols.protocol import DAY, Tier

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,31}")
"""Plain letters: enough for any file number, too few for most Vietnamese names. It cannot begin a formula either."""

_MOST_DIGITS = 8
"""Telephone numbers have ten digits, identity cards nine or twelve."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What staff know of a new case."""

    tier: Tier
    source: str | None = None
    """For an F1: the case that it met."""
    reference: str = ""
    """The hospital's own file number."""
    onset: int | None = None
    """Day since 1970 UTC of the first symptoms."""
    tested: int | None = None
    """Day of the test; it counts for the onset where there were no symptoms."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A new case with its code, which can be read now and never again."""

    case: Case
    reference: str
    code: IssuedCode


class Office:
    """Where staff act, on one store."""

    def __init__(self, store: Store, authority: Authority) -> None:
        self._store = store
        self._authority = authority

    def register(self, actor: Actor, registration: Registration, at: int) -> Case:
        """A new case. CaseError when it cannot be."""
        with self._store.transaction() as transaction:
            return self._register(transaction, actor, registration, at)

    def register_all(
        self, actor: Actor, registrations: Sequence[Registration], kind: Kind, at: int
    ) -> list[Registered]:
        """All with a code each, or none at all. CaseError when one cannot be."""
        with self._store.transaction() as transaction:
            StaffRecords(transaction.connection).note(actor, Act.BULK_OPENED, at, detail=str(len(registrations)))
            done = []
            for registration in registrations:
                opened = self._register(transaction, actor, registration, at)
                issued = self._issue(transaction, actor, opened.id, kind, at)
                done.append(Registered(opened, registration.reference, issued))
        return done

    def issue(self, actor: Actor, case_id: str, kind: Kind, at: int) -> IssuedCode:
        """A code, in place of those of the case that nobody has used: a slip that was lost opens nothing any more.
        CaseError when the case is unknown, revoked or a venue's."""
        with self._store.transaction() as transaction:
            if RegisterRecords(transaction.connection).window(case_id) is not None:
                raise CaseError(CaseProblem.VENUE_CODE)
            return self._issue(transaction, actor, case_id, kind, at)

    def revoke(self, actor: Actor, case_id: str, at: int) -> list[str]:
        """As `Authority.revoke`."""
        with self._store.transaction() as transaction:
            taken = self._authority.within(transaction).revoke(case_id, at)
            records = StaffRecords(transaction.connection)
            for each in taken:
                records.note(actor, Act.CASE_REVOKED, at, each, "" if each == case_id else case_id)
        return taken

    def add_venue(self, actor: Actor, name: str, at: int) -> int:
        """Its number. CaseError when it cannot be called that."""
        name = " ".join(name.split())
        venue.require_name(name)
        with self._store.transaction() as transaction:
            records = RegisterRecords(transaction.connection)
            if any(known.name.casefold() == name.casefold() for known in records.venues()):
                raise CaseError(CaseProblem.VENUE_NAME_TAKEN)
            added = records.put_venue(name, at)
            StaffRecords(transaction.connection).note(actor, Act.VENUE_ADDED, at, name)
        return added

    def mark_outbreak(
        self, actor: Actor, venue_id: int, hours: Hours, kind: Kind, at: int
    ) -> tuple[Venue, Case, IssuedCode]:
        """A case of the place itself and a code for its box, under which only keys of these hours are taken. CaseError
        when it cannot be."""
        venue.require_hours(hours, at)
        with self._store.transaction() as transaction:
            records = RegisterRecords(transaction.connection)
            place = records.venue(venue_id)
            if place is None:
                raise CaseError(CaseProblem.VENUE)
            opened = self._authority.within(transaction).open_case(Tier.F0, at)
            records.put_note(opened.id, "", None)
            records.put_outbreak(opened.id, venue_id, hours)
            StaffRecords(transaction.connection).note(actor, Act.OUTBREAK_MARKED, at, opened.id, place.name)
            return place, opened, self._issue(transaction, actor, opened.id, kind, at)

    def _register(self, transaction: Transaction, actor: Actor, registration: Registration, at: int) -> Case:
        reference = " ".join(registration.reference.split())
        require_reference(reference)
        tested = registration.tested
        if tested is not None and not at // DAY - 60 <= tested <= at // DAY + 1:
            raise CaseError(CaseProblem.TESTED)
        onset = registration.onset
        if onset is None and tested is not None:
            onset = tested
        opened = self._authority.within(transaction).open_case(registration.tier, at, registration.source, onset)
        RegisterRecords(transaction.connection).put_note(opened.id, reference, tested)
        detail = opened.tier.name if opened.source is None else f"{opened.tier.name} {opened.source}"
        StaffRecords(transaction.connection).note(actor, Act.CASE_OPENED, at, opened.id, detail)
        return opened

    def _issue(self, transaction: Transaction, actor: Actor, case_id: str, kind: Kind, at: int) -> IssuedCode:
        transaction.withdraw_codes(case_id)
        issued = self._authority.within(transaction).issue_code(case_id, kind, at)
        StaffRecords(transaction.connection).note(actor, Act.CODE_ISSUED, at, case_id, kind.name.lower())
        return issued


def require_reference(reference: str) -> None:
    """CaseError unless it can be a file number; empty is none."""
    if sum(letter.isdigit() for letter in reference) > _MOST_DIGITS:
        raise CaseError(CaseProblem.REFERENCE_PERSONAL)
    if reference and not _REFERENCE.fullmatch(reference):
        raise CaseError(CaseProblem.REFERENCE)
