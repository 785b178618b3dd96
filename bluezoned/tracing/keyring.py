"""Our own daily keys: made when needed, kept for the retention, cut and renewed at a publication."""

from __future__ import annotations

from collections.abc import Sequence

from bluezoned.protocols.protocol import DAY, DailyKey, Random, TracingProtocol
from bluezoned.tracing.store import Store


class Keyring:
    """The keys of the one protocol that this device advertises."""

    def __init__(self, store: Store, protocol: TracingProtocol, random: Random) -> None:
        self._store = store
        self._protocol = protocol
        self._random = random
        self._keys = store.own_keys(protocol.name)

    def key(self, at: int) -> DailyKey:
        """The key in use at `at` (ms); made and stored first if none is. StoreError when it cannot be stored: an
        identifier whose key is lost could never be published, so it must not go on the air."""
        for key in reversed(self._keys):
            if key.start <= at < key.end:
                return key
        earlier = [key for key in self._keys if key.end <= at]
        newest = earlier[-1] if earlier else None
        unbroken = newest if newest is not None and not self._is_broken(newest) else None
        day = at - at % DAY
        start = day if newest is None else max(day, newest.end)
        key = self._protocol.daily_key(start, day + DAY, unbroken, self._random)
        with self._store.transaction():
            self._store.put_own_key(self._protocol.name, key)
        self._keys.append(key)
        self._keys.sort(key=lambda k: k.start)
        return key

    def _is_broken(self, key: DailyKey) -> bool:
        return self._store.is_published(self._protocol.name, key)

    def cut(self, at: int) -> int:
        """The end of the rotation on the air at `at`: where keys published now must stop being used."""
        return at - at % self._protocol.rotation + self._protocol.rotation

    def publishable(self, at: int, since: int) -> list[DailyKey]:
        """The keys in use since `since` (ms), the present one included."""
        self.key(at)
        return [k for k in self._keys if k.end > since and k.start <= at]

    def leads_on(self, keys: Sequence[DailyKey]) -> bool:
        """Whether whoever knows `keys` can compute a later one that is not among them."""
        others = [key for key in self._keys if key not in keys]
        return any(self._leads(key, later) for key in keys for later in others if later.start >= key.end)

    def bind(self, upload: int, at: int, keys: Sequence[DailyKey]) -> None:
        """These keys go out with `upload`: the present one is used to the end of its rotation, then a fresh one, and
        no chain leads from the published ones to it."""
        self._store.bind_own_keys(self._protocol.name, upload, self.cut(at), keys)
        self._keys = self._store.own_keys(self._protocol.name)

    def erase(self, since: int) -> None:
        """Forget every key in use at or after `since` (ms) that has not been published, and every key whose chain leads
        to one of them: whoever learnt it would know the erased one. A fresh key follows."""
        lost = [key for key in self._keys if key.end > since and not self._is_broken(key)]
        for key in lost:
            earlier = [k for k in self._keys if k.start < key.start and not self._is_broken(k) and k not in lost]
            # `lost` grows while it is walked, back to the base of the chain.
            lost += [k for k in earlier[-1:] if self._leads(k, key)]
        for key in lost:
            self._store.erase_own_key(self._protocol.name, key)
        self.forget()

    def _leads(self, previous: DailyKey, key: DailyKey) -> bool:
        return self._protocol.daily_key(key.start, key.end, previous, self._random).secret == key.secret

    def forget(self) -> None:
        """Follow the store after something was erased there."""
        self._keys = self._store.own_keys(self._protocol.name)
