"""The light as text in the log, for boxes without one."""

from __future__ import annotations

import logging
from uuid import UUID

from bluezoned.alert.indicator import Indication, SelfTest

_LOG = logging.getLogger(__name__)

MESSAGE_ID = UUID("c1b7f0a24ae94be0b64f5f3c0e9d7a31")
"""Of every change in the journal, for `journalctl MESSAGE_ID=` and the catalog."""


class JournalIndicator:
    """Logs changes alone: the light's state is asked for often and tells nothing new."""

    def __init__(self) -> None:
        self._shown: Indication | None = None

    def show(self, indication: Indication, acknowledged: bool = False) -> None:
        # The log calls for nobody: what was taken note of looks the same.
        if indication is self._shown:
            return
        self._shown = indication
        _LOG.info(
            "light: %s: %s",
            indication.name,
            indication.sentence,
            extra={"MESSAGE_ID": MESSAGE_ID, "BLUEZONED_EVENT": "light", "BLUEZONED_LIGHT": indication.name},
        )

    def selftest(self) -> SelfTest:
        for indication in Indication:
            _LOG.info("self-test of the light: %s: %s", indication.name, indication.sentence)
        return SelfTest(0, ())
