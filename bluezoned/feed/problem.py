"""What can be wrong between us and the authority, in words for people."""

from __future__ import annotations

from enum import Enum

from bluezoned.errors import AuthorityError


class Reason(Enum):
    """Why the authority could not be asked or believed, in plain words."""

    INSECURE_URL = "the authority's address is not fit: https, or http on this machine"
    UNREACHABLE = "the authority cannot be reached: check the network and authority.url"
    NOT_TRUSTED = "the authority's certificate is not trusted: check authority.url and the clock"
    TOO_SLOW = "the authority did not answer in time"
    REDIRECTED = "the authority's address leads elsewhere: redirects are refused"
    REFUSED = "the authority refused the request"
    TOO_LARGE = "the authority's answer is larger than allowed"
    NOT_AS_LISTED = "a batch is not what the index says it is"
    NO_INDEX = "the authority's index cannot be read"
    NO_LOG = "the authority's log cannot be read"
    PROXY = "the proxy cannot be reached, or refuses: check authority.proxy_url"
    MISSING = "a file is missing: copy the whole of the authority's directory public"
    NO_FILE = "this is no plain file: copy the authority's directory public as it is"
    UNREADABLE = "a file cannot be read"
    NOT_SIGNED = "it is not signed by the pinned authority: check authority.public_key, and whose files these are"
    OLD_LOG = "it does not tell all that the index lists: the two are not of the same time"
    NO_RECEIPT = "the authority's answer to an upload is no receipt"


class FeedError(AuthorityError):
    """Something between us and the authority. `status` is the HTTP status where there was one, `place` the file."""

    def __init__(self, reason: Reason, status: int | None = None, place: str = "") -> None:
        said = reason.value if status is None else f"{reason.value} (HTTP status {status})"
        super().__init__(f"{place}: {said}" if place else said)
        self.reason = reason
        self.status = status
