"""The light as text in the log, for boxes without one."""

from __future__ import annotations

import logging

from bluezoned.alert.indicator import Indication, SelfTest
from bluezoned.event import Event

_LOG = logging.getLogger(__name__)


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
            extra=Event.LIGHT.fields(BLUEZONED_LIGHT=indication.name),
        )

    def selftest(self) -> SelfTest:
        for indication in Indication:
            _LOG.info("self-test of the light: %s: %s", indication.name, indication.sentence)
        return SelfTest(0, ())
