"""The least that an answer costs: the HTTP server that the authority runs on, and behind it nothing but the file FILE.

FILE=index python -m uvicorn tests.bench.bare_server:answer --workers 2 --no-access-log --lifespan off
"""

from __future__ import annotations

import os
from pathlib import Path

from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

_content = Path(os.environ["FILE"]).read_bytes()
_headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(_content)).encode())]
_START: HTTPResponseStartEvent = {"type": "http.response.start", "status": 200, "headers": _headers}
_BODY: HTTPResponseBodyEvent = {"type": "http.response.body", "body": _content, "more_body": False}


async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Whatever is asked."""
    await send(_START)
    await send(_BODY)
