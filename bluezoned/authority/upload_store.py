"""What an upload is judged by, in one look at the database: each statement more costs the server as much CPU as opening
the upload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, LargeBinary, bindparam, literal, select

from bluezoned.authority.case import Case
from bluezoned.authority.register_store import outbreak as _outbreak
from bluezoned.authority.store import StoredUpload, to_case
from bluezoned.authority.tables import case as _case
from bluezoned.authority.tables import code as _code
from bluezoned.authority.tables import upload as _upload
from bluezoned.authority.venue import Hours
from bluezoned.authority.verification import Code
from bluezoned.opaque import Opaque


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand for an upload; None for what there is not."""

    earlier: StoredUpload | None
    """Of the same nonce."""
    code: Code | None
    case: Case | None
    """That the code was issued for."""
    hours: Hours | None
    """To which the keys of the case are cut; None for a person's."""


def standing(connection: Connection, code_digest: bytes, nonce: Opaque) -> Standing:
    """In the transaction of whoever asks, who has locked the code's case before: what another act has just changed is
    seen then."""
    row = connection.execute(_STANDING, {"of_code": code_digest, "of_nonce": bytes(nonce)}).one()
    return Standing(
        None if row.receipt is None else StoredUpload(row.upload_digest, row.receipt),
        None if row.code_digest is None else Code(row.code_digest, row.case_id, row.issued, row.expires, row.used),
        None if row.id is None else to_case(row),
        None if row.outbreak_end is None else Hours(row.outbreak_start, row.outbreak_end),
    )


def _statement() -> Any:
    """From one row that is always there, as neither the code nor the upload need be. Made once: to put it together
    takes longer than to run it."""
    one = select(literal(1).label("one")).subquery()
    found = (
        one.outerjoin(_code, _code.c.digest == bindparam("of_code", type_=LargeBinary))
        .outerjoin(_case, _case.c.id == _code.c.case_id)
        .outerjoin(_outbreak, _outbreak.c.case_id == _case.c.id)
        .outerjoin(_upload, _upload.c.nonce == bindparam("of_nonce", type_=LargeBinary))
    )
    return select(
        _upload.c.digest.label("upload_digest"),
        _upload.c.receipt,
        _code.c.digest.label("code_digest"),
        _code.c.case_id,
        _code.c.issued,
        _code.c.expires,
        _code.c.used,
        _case,
        _outbreak.c.start.label("outbreak_start"),
        _outbreak.c.end.label("outbreak_end"),
    ).select_from(found)


_STANDING = _statement()
