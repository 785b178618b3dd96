"""What stands on one connection to the bus, and the steps that get it going again."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from bluezoned.clock import Clock
from bluezoned.event import Event
from bluezoned.radio.bluez_advertiser import Advertiser
from bluezoned.radio.bluez_bus import Adapter, Bluez, BluezError
from bluezoned.radio.bluez_reader import PhoneReader
from bluezoned.radio.bluez_scanner import Scanner
from bluezoned.radio.bluez_witness import Witness
from bluezoned.radio.recovery import Step

log = logging.getLogger(__name__)

POWER_GAP = 1_500
"""ms between off and on. On a legacy controller the old advertisement was seen to go on for 1.3 s."""


@dataclass(slots=True)
class Session:
    """It trusts no memory of what was registered over a restart, an unplugging or a power cut."""

    bluez: Bluez
    advertiser: Advertiser
    reader: PhoneReader | None
    scanner: Scanner
    witness: Witness | None
    clock: Clock
    owner: str = ""
    """bluetoothd's name when it was last looked at."""

    @property
    def is_denied(self) -> bool:
        """Whether the witness should hear us, and does not."""
        return self.witness is not None and self.witness.denies

    async def stop_listening(self) -> None:
        """The adapter does nothing but send."""
        if self.reader is not None:
            await self.reader.stop()
        await self.scanner.stop()

    async def close(self) -> None:
        """Nothing of ours runs on the adapter. Closed, not unregistered: over a power cycle bluetoothd forgets to
        advertise and says that it does not."""
        await self.stop_listening()
        await self.advertiser.close()
        if self.witness is not None:
            await self.witness.close()

    async def take(self, step: Step, adapter: Adapter | None) -> None:
        """One step of a ladder; those of an adapter do nothing where there is none. What fails is logged: a further
        step follows."""
        log.warning("the radio is in trouble: trying to %s", step.value, extra=Event.RADIO_RECOVERY.fields())
        try:
            if step is Step.START:
                await self.bluez.start()
            elif adapter is not None:
                await self._take(step, adapter)
        except BluezError as error:
            log.warning("could not %s: %s", step.value, error)

    async def _take(self, step: Step, adapter: Adapter) -> None:
        match step:
            case Step.RESTART_SCAN:
                await self.scanner.stop()
            case Step.REGISTER_ANEW:
                await self.advertiser.close()
            case Step.POWER_CYCLE:
                await self.bluez.set_powered(adapter, False)
                await self.clock.sleep_until(self.clock.now() + POWER_GAP)
                await self.bluez.set_powered(adapter, True)
            case Step.RESET:
                await self.bluez.request_reset(adapter)
