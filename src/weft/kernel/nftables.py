"""nftables through libnftables (Debian `libnftables1`) by ctypes: transactions and listings.

A transaction is text in nft's own language; the kernel takes all of it or nothing. libnftables
writes no netlink of its own kind that we would have to keep up with.
"""

from __future__ import annotations

import ctypes
import errno
import json
import re
import struct
import threading
from typing import Any

from weft.errors import KernelError, UnavailableError
from weft.kernel.netlink import Netlink, Request, attribute_text, attributes, items, open_socket

_LIBRARY = "libnftables.so.1"
_CTX_DEFAULT = 0
_OUTPUT_STATELESS = 1 << 1
_OUTPUT_HANDLE = 1 << 3
_OUTPUT_JSON = 1 << 4
_OUTPUT_TERSE = 1 << 11
_OUTPUT_NUMERIC = 0x3E0
"""Protocols, priorities, symbols and times as numbers: no look-ups in /etc, one spelling."""
_NETLINK_NETFILTER = 12
_NFT_MSG_GETGEN = 10 << 8 | 16
_NFTA_GEN_ID = 1
_NFT_MSG_GETSETELEM = 10 << 8 | 13
_NFTA_SET_ELEM_LIST_TABLE = 1
_NFTA_SET_ELEM_LIST_SET = 2
_NFTA_SET_ELEM_LIST_ELEMENTS = 3
_NFPROTO_INET = 1
_at_work = threading.Lock()
"""libnftables keeps the names of devices, among other things, in variables that all threads share:
two of them at once may end the process."""


class Nftables:
    """A connection to the nftables of the namespace in which it was opened."""

    def __init__(self) -> None:
        """UnavailableError: libnftables is not installed."""
        self._library = _load()
        with _at_work:
            self._context = self._library.nft_ctx_new(_CTX_DEFAULT)
        if not self._context:
            raise KernelError("open nftables", errno.ENOMEM)
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)
        self._netlink = Netlink(open_socket(_NETLINK_NETFILTER))

    def close(self) -> None:
        """Give back what libnftables holds."""
        if self._context:
            with _at_work:
                self._library.nft_ctx_free(self._context)
            self._context = None
            self._netlink.close()

    def run(self, commands: str) -> None:
        """Carry out all commands as one transaction; KernelError says which one was refused."""
        self._run(commands, "change nftables", 0)

    def text(self, command: str) -> str:
        """What a ``list`` command prints, without counters and without the elements of sets, of
        which there may be many (see `elements`); empty when there is no such thing."""
        flags = _OUTPUT_STATELESS | _OUTPUT_TERSE | _OUTPUT_NUMERIC
        try:
            return self._run(command, "list nftables", flags)
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return ""
            raise

    def objects(self, command: str) -> list[dict[str, Any]]:
        """What a ``list`` command finds, as libnftables-json(5) says, with handles."""
        flags = _OUTPUT_JSON | _OUTPUT_HANDLE | _OUTPUT_STATELESS | _OUTPUT_NUMERIC
        try:
            output = self._run(command, "list nftables", flags)
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return []
            raise
        found: list[dict[str, Any]] = json.loads(output)["nftables"] if output else []
        return found

    def elements(self, table: str, name: str) -> list[bytes]:
        """Of a set or map in a table of family inet, in no order, as the kernel says them.

        libnftables takes a hundred times as long to write them out.
        """
        request = Request(
            f"list elements of {name}",
            _NFT_MSG_GETSETELEM,
            0,
            struct.pack("=BBH", _NFPROTO_INET, 0, 0)
            + attribute_text(_NFTA_SET_ELEM_LIST_TABLE, table)
            + attribute_text(_NFTA_SET_ELEM_LIST_SET, name),
        )
        found: list[bytes] = []
        for body in self._netlink.dump(request):
            found += items(attributes(body, 4).get(_NFTA_SET_ELEM_LIST_ELEMENTS, b""))
        return found

    def generation(self) -> int:
        """A number that changes with every change of any rule: the same means nothing happened."""
        body = self._netlink.get(
            Request("read nftables generation", _NFT_MSG_GETGEN, 0, struct.pack("=BBH", 0, 0, 0))
        )
        return int.from_bytes(attributes(body, 4)[_NFTA_GEN_ID], "big")

    def _run(self, commands: str, operation: str, flags: int) -> str:
        library, context = self._library, self._context
        with _at_work:
            library.nft_ctx_output_set_flags(context, flags)
            result = library.nft_run_cmd_from_buffer(context, commands.encode())
            output = library.nft_ctx_get_output_buffer(context) or b""
            problem = library.nft_ctx_get_error_buffer(context) or b""
        if result != 0:
            text = problem.decode(errors="replace").strip()
            number = _errno_of(text)
            raise KernelError(operation, number, text.partition("\n")[0].removeprefix("Error: "))
        return str(output.decode())


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise UnavailableError(f"{_LIBRARY}: {error}; install libnftables1") from error
    pointer = ctypes.c_void_p
    library.nft_ctx_new.restype = pointer
    library.nft_ctx_new.argtypes = (ctypes.c_uint32,)
    library.nft_run_cmd_from_buffer.argtypes = (pointer, ctypes.c_char_p)
    library.nft_ctx_output_set_flags.argtypes = (pointer, ctypes.c_uint)
    for name in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = (pointer,)
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = (pointer,)
        getattr(library, name).restype = ctypes.c_char_p
    return library


_MESSAGES = {
    "No such file or directory": errno.ENOENT,
    "Operation not permitted": errno.EPERM,
    "File exists": errno.EEXIST,
    "Device or resource busy": errno.EBUSY,
    "Operation not supported": errno.EOPNOTSUPP,
}


def _errno_of(text: str) -> int:
    """libnftables gives words, not a number."""
    match = re.search(r"Error: (?:Could not process rule: )?(.*)", text)
    words = match.group(1) if match else text
    return next((number for part, number in _MESSAGES.items() if part in words), errno.EINVAL)
