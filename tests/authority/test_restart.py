"""PostgreSQL killed and started again while boxes send and a worker publishes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from bluezoned.authority.house import found_house
from bluezoned.errors import StoreError
from bluezoned.opaque import Opaque
from bluezoned.upload import Upload
from tests.authority import postgres
from tests.authority.conftest import settings
from tests.authority.ward import NOON, Ward, key

BOXES, EACH, RESTARTS = 4, 12, 3


class Box:
    """Sends until it has a receipt, as boxes do."""

    def __init__(self, ward: Ward) -> None:
        self._ward = ward
        self.accepted: list[bytes] = []
        self.failures = 0

    def run(self) -> None:
        for _ in range(EACH):
            sent = key()
            code = self._patiently_issued()
            upload = Upload(code, (sent,), Opaque(os.urandom(16)))
            while True:
                try:
                    receipt = self._ward.send(upload, NOON)
                    break
                except StoreError:
                    self.failures += 1
            assert receipt.accepted
            self.accepted.append(bytes(sent.secret))

    def _patiently_issued(self) -> str:
        while True:
            try:
                return self._ward.code()
            except StoreError:
                self.failures += 1


def test_database_restarted_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with postgres.running() as server:
        directory = tmp_path / "ward"
        directory.mkdir()
        (directory / "authority.toml").write_text(settings(server.url(server.make_database())))
        found_house(directory, "test", os.urandom)
        ward, publishing = Ward(directory), Ward(directory)
        boxes = [Box(ward) for _ in range(BOXES)]
        stop, refused = threading.Event(), [0]

        def publish() -> None:
            while not stop.is_set():
                try:
                    publishing.publisher.publish(NOON)
                except StoreError:
                    refused[0] += 1

        threads = [threading.Thread(target=box.run) for box in boxes]
        publisher = threading.Thread(target=publish)
        for thread in (*threads, publisher):
            thread.start()
        for restart in range(1, RESTARTS + 1):
            while sum(len(box.accepted) for box in boxes) < restart * BOXES * EACH // (RESTARTS + 1):
                threads[0].join(0.01)
            server.stop("immediate")
            server.start()
        for thread in threads:
            thread.join()
        stop.set()
        publisher.join()
        # The lease of a run that was cut off: five minutes later anybody may.
        publishing.publisher.publish(NOON + 6 * 60_000)

        ward.require_whole()
        told = sorted(bytes(k.secret) for export in ward.exports() for k in export.keys)
        assert told == sorted(secret for box in boxes for secret in box.accepted)
        assert sum(box.failures for box in boxes) + refused[0] > 0
        ward.database.close()
        publishing.database.close()
