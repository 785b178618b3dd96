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
    NO_RECEIPT = "the authority's answer to an upload is no receipt"


class FeedError(AuthorityError):
    """Something between us and the authority. `status` is the HTTP status where there was one."""

    def __init__(self, reason: Reason, status: int | None = None) -> None:
        super().__init__(reason.value if status is None else f"{reason.value} (HTTP status {status})")
        self.reason = reason
        self.status = status
