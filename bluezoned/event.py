"""What the daemon tells the journal by number, for `journalctl MESSAGE_ID=` and systemd/bluezoned.catalog."""

from __future__ import annotations

from enum import Enum
from uuid import UUID


class Event(Enum):
    """A kind of message that never changes its number. The catalog explains each, and a test holds the two together."""

    STARTED = "b3fee1e7145a48b6a77ffd7fd1c13e7e"
    LIGHT = "c1b7f0a24ae94be0b64f5f3c0e9d7a31"
    RADIO_TROUBLE = "2cf86518d45545aaa749b51fb0ac3c17"
    RADIO_WELL = "be88965222fb41caacf386febd3d956a"
    RADIO_RECOVERY = "aa03af34ce3a46ed990bf156ca0e1f7e"
    STORAGE_FAULT = "6e824e4d2a6f4c0687119baaec49eb85"
    STORE_SET_ASIDE = "f41015085f5c4598a76865e09b57c663"
    BATCH_APPLIED = "870ad41cfbc647b696500c29d22703da"
    NOT_BELIEVED = "d5c9ef6fe6f74092ad031d5c342b5dc7"
    CONSENT = "f9c5cae0ea744d26af8984ee6ee6e7ba"
    RECEIPT = "c5540faee3b74a3393d82766457ce582"
    PAUSE = "dd9ddd720a54468289912d06c4733020"
    ERASED = "82572572498f4137a6ffd673f8f82cea"
    SETTINGS = "876c2ba455704365aff748aa37986daf"
    UNCALIBRATED = "fbef4bd5d57246c39d57356ea56cf528"

    def fields(self, **further: str) -> dict[str, object]:
        """For a log call's `extra`: the number, the kind as BLUEZONED_EVENT, and further fields of the journal."""
        return {"MESSAGE_ID": UUID(self.value), "BLUEZONED_EVENT": self.name.lower().replace("_", "-"), **further}
