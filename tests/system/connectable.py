"""What another program has bluetoothd send: one that may be connected to, under the controller's own address."""

# dbus-next reads D-Bus signatures from annotations; they are no Python types, which no_type_check tells to mypy.

from typing import no_type_check

from dbus_next.constants import PropertyAccess
from dbus_next.service import ServiceInterface, dbus_property, method


class ConnectableAdvertisement(ServiceInterface):
    """As iOS sends in the foreground: a service and a name."""

    def __init__(self, service: str, name: str) -> None:
        super().__init__("org.bluez.LEAdvertisement1")
        self._service = service
        self._name = name

    @method()
    @no_type_check
    def Release(self):
        pass

    @dbus_property(PropertyAccess.READ)
    @no_type_check
    def Type(self) -> "s":
        return "peripheral"

    @dbus_property(PropertyAccess.READ)
    @no_type_check
    def ServiceUUIDs(self) -> "as":
        return [self._service]

    @dbus_property(PropertyAccess.READ)
    @no_type_check
    def LocalName(self) -> "s":
        return self._name
