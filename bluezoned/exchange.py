"""What goes through the spool between a box and its authority: what sync brought is checked and applied, what was
consented to is laid out for it. Layer 4."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from bluezoned import transparency_log
from bluezoned.clock import Clock
from bluezoned.errors import AuthorityError, ProtocolError, StoreError
from bluezoned.event import Event
from bluezoned.feed import spool as spool_names
from bluezoned.feed.spool import Spool
from bluezoned.tracing.case_list import Applied
from bluezoned.tracing.device import Device
from bluezoned.transparency_log import TILE, Contradiction, LogError

log = logging.getLogger(__name__)


class Exchange:
    """One box's dealings with its authority, through files."""

    def __init__(self, device: Device, clock: Clock, spool: Spool, tell: Callable[[], None]) -> None:
        """tell: called when something that people see may have changed."""
        self.problem = ""
        """The newest reason why something from the authority was not taken, in plain words; empty when all is well."""
        self._device = device
        self._clock = clock
        self._spool = spool
        self._tell = tell
        self._chaff_drawn = clock.elapsed()
        spool.outbox.clean()

    async def look_into_inbox(self) -> None:
        """Take in what sync brought: the log, batches in order, the index that lists them, receipts. What cannot be
        believed changes nothing, is reported and goes; sync fetches it anew once the index lists another digest."""
        if not self._clock.is_synchronized():
            return
        inbox = self._spool.inbox
        log_file = inbox.read(spool_names.LOG)
        if log_file is not None:
            with self._taking(spool_names.LOG):
                self._apply_log(log_file)
        # While the log waits for its archive, nothing can be said of the batches: they wait too.
        for name in inbox.names("batch-") if not self._spool.outbox.names("wanted-") else ():
            with self._taking(name):
                await self._apply_batch(name)
        for name in (spool_names.INDEX, *inbox.names("receipt-")):
            data = inbox.read(name)
            if data is not None:
                with self._taking(name):
                    (self._device.apply_index if name == spool_names.INDEX else self._apply_receipt)(data)

    @contextmanager
    def _taking(self, name: str) -> Iterator[None]:
        """A file of the inbox is taken in, and goes, believed or not. StoreError leaves it for the next look."""
        try:
            yield
        except (AuthorityError, ProtocolError) as error:
            self.problem = str(error)
            log.warning("not taken from the authority: %s", error, extra=Event.NOT_BELIEVED.fields())
        else:
            self._tell()
        self._spool.inbox.remove(name)

    def _apply_log(self, data: bytes) -> None:
        tiles = self._spool.inbox.names("leaves-")
        try:
            self._device.apply_log(data, self._archive(tiles))
        except LogError as error:
            if error.contradiction in (Contradiction.GAP, Contradiction.ARCHIVE):
                self._spool.outbox.write(spool_names.wanted_name(self._device.witness.size // TILE), b"")
            raise
        finally:
            for name in tiles:
                self._spool.inbox.remove(name)

    def _archive(self, tiles: list[str]) -> list[bytes]:
        """Hashes of the leaves after those seen, as far as the files hold them without a gap."""
        seen, hashes = self._device.witness.size, list[bytes]()
        for name in tiles:
            start = spool_names.sequence_of(name) * TILE
            if start <= seen + len(hashes):
                held = transparency_log.tile_hashes(self._spool.inbox.read(name) or b"")
                hashes += held[seen + len(hashes) - start :]
        return hashes

    async def _apply_batch(self, name: str) -> None:
        """The air and the clock have their turns meanwhile: a national day takes minutes on a small computer."""
        file = self._spool.inbox.open(name)
        if file is None:
            return
        with file:
            applied = await self._in_turns(self._device.apply_export(file, self._clock.now()))
        if applied is not None:
            self.problem = ""
            log.info(
                "batch %d applied: %d keys, %d matched, %d revoked",
                applied.sequence,
                applied.keys,
                applied.matched,
                applied.revoked,
                extra=Event.BATCH_APPLIED.fields(),
            )

    async def _in_turns(self, steps: Generator[None, None, Applied | None]) -> Applied | None:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                applied: Applied | None = end.value
                return applied
            except OSError as error:
                raise StoreError(f"spool: cannot read a batch: {error.strerror}") from error
            await self._clock.sleep_until(self._clock.now())

    def _apply_receipt(self, data: bytes) -> None:
        closed = self._device.apply_receipt(data)
        if closed is not None:
            problem = f": {closed.problem}" if closed.problem else ""
            log.info("the authority %s the upload%s", closed.state, problem, extra=Event.RECEIPT.fields())

    def lay_out_uploads(self) -> None:
        """Put each pending upload into the outbox, again after a crash: posting twice gets one answer."""
        present = set(self._spool.outbox.names("upload-"))
        answered = {name.replace("receipt-", "upload-", 1) for name in self._spool.inbox.names("receipt-")}
        for tag, sealed in self._device.pending_uploads().items():
            name = spool_names.upload_name(tag)
            if name not in present and name not in answered:
                self._spool.outbox.write(name, sealed)

    def lay_out_chaff(self, mean: int) -> None:
        """Now and then an upload that says nothing, on average once in `mean` ms, so that a real one among them tells
        nobody that its carrier is ill. One at a time: an authority that is away must not be met by a heap."""
        before, self._chaff_drawn = self._chaff_drawn, self._clock.elapsed()
        chaff = self._device.chaff(self._chaff_drawn - before, mean)
        if chaff is not None and not self._spool.outbox.names("upload-"):
            self._spool.outbox.write(spool_names.upload_name(chaff[0]), chaff[1])

    def forget_uploads(self) -> None:
        """What waits to be sent goes."""
        for name in self._spool.outbox.names("upload-"):
            self._spool.outbox.remove(name)
