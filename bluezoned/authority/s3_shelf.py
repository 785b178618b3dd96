"""What is published, in a bucket of Amazon's S3 or of a server that speaks like it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bluezoned.authority.shelf import BATCHES, INDEX, ShelfError
from bluezoned.errors import ConfigError

CONNECT_S, READ_S, TRIES = 5, 30, 3
"""Seconds and tries of one request. Together less than half a lease of the publisher: who cannot write must know it
before another takes over."""

INDEX_CACHE = "public, max-age=300"
BATCH_CACHE = "public, max-age=1209600, immutable"
"""As api/feed.py says it: a CDN in front of the bucket gives it on."""


class S3Shelf:
    """A bucket, below `prefix`. Credentials are found as Amazon's tools find them: environment, files, the machine."""

    def __init__(self, endpoint: str, region: str, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._client = _client(endpoint, region)

    def put(self, name: str, content: bytes) -> None:
        is_index = name == INDEX
        with _translated("write"):
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + name,
                Body=content,
                ContentType="text/plain; charset=us-ascii" if is_index else "application/zip",
                CacheControl=INDEX_CACHE if is_index else BATCH_CACHE,
            )

    def read(self, name: str) -> bytes | None:
        with _translated("read"):
            try:
                content: bytes = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
            except self._client.exceptions.NoSuchKey:
                return None
        return content

    def mark(self, name: str) -> object | None:
        return None

    def batches(self) -> dict[str, int]:
        folder = f"{self._prefix}{BATCHES}/"
        with _translated("list"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=folder)
            found = [each for page in pages for each in page.get("Contents", ())]
        return {each["Key"].removeprefix(folder): each["Size"] for each in found}

    def remove(self, name: str) -> None:
        with _translated("remove"):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)


def _client(endpoint: str, region: str) -> Any:
    try:
        # A sixth of a second and 36 MB, which only its users pay. It has no types.
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError("a bucket needs the package boto3: pip install 'bluezoned[s3]'") from error
    return boto3.client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=region,
        config=Config(
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
            retries={"mode": "standard", "total_max_attempts": TRIES},
            # Servers that only speak like Amazon's do not know its newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        ),
    )


@contextmanager
def _translated(verb: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise ShelfError(f"cannot {verb} what is published: the bucket answers {code}") from error
    except BotoCoreError as error:
        raise ShelfError(f"cannot {verb} what is published: {type(error).__name__} on the way to the bucket") from error
