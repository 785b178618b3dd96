"""AES of the same blocks under one key after another: what a national day of GAEN and DP-3T keys is made of.

The `cryptography` package makes three objects for each key, 3 us beside the 1 us of OpenSSL's work on 144 blocks; the
libcrypto that Python itself runs on, called directly, keeps one context and takes a new key into it. Where that
library is missing or of another make, `cryptography` does it: slower, the same bytes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK = 16
"""Bytes of a block of AES."""

Encrypt = Callable[[bytes], "ctypes.Array[ctypes.c_char] | bytes"]
"""A key of 16 or 32 bytes to the encrypted blocks, which are valid until the next call."""


def encrypting(blocks: bytes) -> Encrypt:
    """AES-ECB of `blocks`, by libcrypto where it is there. ValueError for a key of another size."""
    if _libcrypto is None:
        return encrypting_slowly(blocks)
    return encrypting_fast(blocks, _libcrypto)


def encrypting_slowly(blocks: bytes) -> Encrypt:
    """The same by the `cryptography` package."""
    mode = modes.ECB()

    def encrypt(key: bytes) -> bytes:
        return Cipher(algorithms.AES(key), mode).encryptor().update(blocks)

    return encrypt


def encrypting_fast(blocks: bytes, library: ctypes.CDLL) -> Encrypt:
    """The same by libcrypto 3, called directly."""
    context = Context(library)
    initialize, update, handle = library.EVP_EncryptInit_ex, library.EVP_EncryptUpdate, context.handle
    size = len(blocks)
    encrypted = ctypes.create_string_buffer(size + BLOCK)  # EVP_EncryptUpdate may want a block of room beyond
    out, written = ctypes.addressof(encrypted), ctypes.c_int()
    count = ctypes.addressof(written)
    # An address keeps nothing alive: without this, the count is written into memory that has become somebody else's.
    context.written = written
    chosen: int | None = None

    def encrypt(key: bytes) -> ctypes.Array[ctypes.c_char]:
        nonlocal chosen
        if len(key) != chosen:
            context.choose(len(key))
            chosen = len(key)
        context.require(initialize(handle, None, None, key, None))
        context.require(update(handle, out, count, blocks, size))
        return encrypted

    return encrypt


class Context:
    """One EVP_CIPHER_CTX, freed with its last user."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._free = library.EVP_CIPHER_CTX_free
        self.handle = library.EVP_CIPHER_CTX_new()
        self.written: ctypes.c_int | None = None
        """What the calls on it write their count to."""
        if not self.handle:
            raise MemoryError

    def choose(self, key_size: int) -> None:
        """AES-ECB from now on, under a key that is still to come. ValueError for one of another size."""
        ciphers = {16: self._library.EVP_aes_128_ecb, 32: self._library.EVP_aes_256_ecb}
        if key_size not in ciphers:
            raise ValueError("an AES key of 16 or 32 bytes is wanted")
        self.require(self._library.EVP_EncryptInit_ex(self.handle, ciphers[key_size](), None, None, None))

    def require(self, succeeded: int) -> None:
        """OpenSSL gives 1 for success; it refuses AES to nobody but where memory or the library itself is broken."""
        if succeeded != 1:
            raise MemoryError

    def __del__(self) -> None:
        self._free(self.handle)


def open_libcrypto() -> ctypes.CDLL | None:
    """OpenSSL 3's, the one that hashlib has already loaded on Debian; None where there is none."""
    try:
        library = ctypes.CDLL("libcrypto.so.3")
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
        for name, result, arguments in (
            ("EVP_CIPHER_CTX_new", pointer, ()),
            ("EVP_CIPHER_CTX_free", None, (pointer,)),
            ("EVP_aes_128_ecb", pointer, ()),
            ("EVP_aes_256_ecb", pointer, ()),
            ("EVP_EncryptInit_ex", number, (pointer, pointer, pointer, text, pointer)),
            ("EVP_EncryptUpdate", number, (pointer, pointer, pointer, text, number)),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return library


_libcrypto = open_libcrypto()
