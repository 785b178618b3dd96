"""The Wi-Fi of the boot file in the words of what runs it: wpa_supplicant with systemd-networkd, or NetworkManager.

Neither gets the password itself, only the key that WPA makes of it and of the network's name (IEEE 802.11, annex J.4):
who reads the card learns the way into this network, and not a password that may be used elsewhere too.
"""

from __future__ import annotations

import hashlib

from bluezoned.first_boot.boot_file import Wifi

_ROUNDS = 4096
_KEY_SIZE = 32


def wpa_key(wifi: Wifi) -> str:
    """64 hexadecimal digits."""
    return hashlib.pbkdf2_hmac("sha1", wifi.password.encode(), wifi.ssid.encode(), _ROUNDS, _KEY_SIZE).hex()


def wpa_supplicant(wifi: Wifi) -> str:
    """wpa_supplicant-wlan0.conf. The name in hexadecimal, as it may hold any byte."""
    lines = [f"country={wifi.country}", "network={", f"    ssid={wifi.ssid.encode().hex()}"]
    lines.append("    key_mgmt=NONE" if not wifi.password else f"    psk={wpa_key(wifi)}")
    return "\n".join([*lines, "}", ""])


def network_manager(wifi: Wifi) -> str:
    """A connection of NetworkManager's, as on Raspberry Pi OS."""
    name = "".join(f"{byte};" for byte in wifi.ssid.encode())
    lines = ["[connection]", "id=bluezoned", "type=wifi", "", "[wifi]", f"ssid={name}"]
    if wifi.password:
        lines += ["", "[wifi-security]", "key-mgmt=wpa-psk", f"psk={wpa_key(wifi)}"]
    return "\n".join([*lines, "", "[ipv4]", "method=auto", "", "[ipv6]", "method=auto", ""])
