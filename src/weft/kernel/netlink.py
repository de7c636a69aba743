"""Raw netlink: one socket, requests with strict acknowledgements, dumps for the caller to parse.

Every change of a device, an address, a route or a filter goes through here, and an attach is a
dozen of them: a message built by hand costs a tenth of what a general library takes, and several
messages go to the kernel in one `sendmsg`. The kernel works through them in order and answers
each; one that fails does not stop those after it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from weft.errors import KernelError

NLM_F_REQUEST = 0x001
NLM_F_ACK = 0x004
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLA_F_NESTED = 0x8000

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_ACK_TLVS = 0x200
_NLM_F_CAPPED = 0x100
_NLM_F_DUMP_INTR = 0x10
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12
_SO_RCVBUFFORCE = 33

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_BATCH = 64
"""Messages in one `sendmsg`: their answers must fit the socket's receive buffer."""
_BUFFER_BYTES = 1 << 16
"""The kernel gives a dump in pieces of 32 kB."""
_NEWS = 256
Message = tuple[int, int, int, bytes]
"""Kind, flags, sequence, body."""
_buffers = threading.local()


class Request(NamedTuple):
    """One message. `operation` says in words what it does, for the error."""

    operation: str
    kind: int
    flags: int
    body: bytes


class Answer(NamedTuple):
    """How one request of a batch went: an error, or the body of the reply if it asked for one."""

    error: KernelError | None
    body: bytes


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    return _ATTRIBUTE.pack(len(payload) + 4, kind) + payload + bytes(-len(payload) % 4)


def attribute_u32(kind: int, value: int) -> bytes:
    """One attribute of 32 bits in host order."""
    return struct.pack("=HHI", 8, kind, value)


def attribute_text(kind: int, text: str) -> bytes:
    """One attribute of text, ended by a zero."""
    return attribute(kind, text.encode() + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    """One attribute that holds others."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def attributes(body: bytes, start: int = 0) -> dict[int, bytes]:
    """All attributes of a body from `start` on, by kind; of equal ones the last."""
    found = {}
    end = len(body) - 3
    unpack = _ATTRIBUTE.unpack_from
    while start < end:
        length, kind = unpack(body, start)
        if length < 4:
            break
        found[kind & 0x3FFF] = body[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


def items(body: bytes) -> list[bytes]:
    """All attributes of a body, in order, for a list whose entries are of one kind."""
    found = []
    start, end = 0, len(body) - 3
    while start < end:
        length, _ = _ATTRIBUTE.unpack_from(body, start)
        if length < 4:
            break
        found.append(body[start + 4 : start + length])
        start += (length + 3) & ~3
    return found


class Netlink:
    """A netlink socket in the namespace in which it was opened. For one thread at a time."""

    def __init__(self, sock: socket.socket | None = None) -> None:
        """`sock`: a socket opened elsewhere (`netns.socket_in`); None: one in this namespace."""
        self._socket = sock or open_socket()
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def do(self, *requests: Request) -> None:
        """Carry out all requests; raise the first KernelError, once all have been tried."""
        for answer in self.run(requests):
            if answer.error is not None:
                raise answer.error

    def get(self, request: Request) -> bytes:
        """The body of the one reply."""
        (answer,) = self.run((request,))
        if answer.error is not None:
            raise answer.error
        return answer.body

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        """Carry out all requests in order; one answer each."""
        answers: list[Answer] = []
        for start in range(0, len(requests), _BATCH):
            answers += self._run_batch(requests[start : start + _BATCH])
        return answers

    def _run_batch(self, requests: Sequence[Request]) -> list[Answer]:
        first = self._sequence + 1
        self._sequence += len(requests)
        message = bytearray()
        for sequence, request in enumerate(requests, first):
            message += _message(request, request.flags | NLM_F_ACK, sequence)
        self._send(message, requests[0].operation)
        bodies = [b""] * len(requests)
        answers: list[Answer | None] = [None] * len(requests)
        missing = len(requests)
        while missing:
            for kind, flags, sequence, body in self._receive(requests[0].operation):
                at = sequence - first
                if not 0 <= at < len(requests):
                    continue
                if kind != _NLMSG_ERROR:
                    bodies[at] = body
                    continue
                answers[at] = Answer(_error(requests[at].operation, flags, body), bodies[at])
                missing -= 1
        return [answer for answer in answers if answer is not None]

    def dump(self, request: Request) -> list[bytes]:
        """The bodies of all messages that a dump gives; dumped again if it was interrupted."""
        for _ in range(10):
            bodies, is_interrupted = self._dump_once(request)
            if not is_interrupted:
                return bodies
        return bodies

    def _dump_once(self, request: Request) -> tuple[list[bytes], bool]:
        self._sequence += 1
        message = _message(request, request.flags | NLM_F_DUMP, self._sequence)
        self._send(message, request.operation)
        bodies: list[bytes] = []
        is_interrupted = False
        while True:
            for kind, flags, sequence, body in self._receive(request.operation):
                if sequence != self._sequence:
                    continue
                is_interrupted |= bool(flags & _NLM_F_DUMP_INTR)
                if kind == _NLMSG_DONE:
                    return bodies, is_interrupted
                if kind == _NLMSG_ERROR:
                    error = _error(request.operation, flags, body)
                    if error is not None:
                        raise error
                    return bodies, is_interrupted
                bodies.append(body)

    def _send(self, message: bytes | bytearray, operation: str) -> None:
        try:
            self._socket.send(message)
        except OSError as error:
            raise KernelError(operation, error.errno or 0) from error

    def _receive(self, operation: str) -> Iterator[Message]:
        try:
            data = _received(self._socket)
        except OSError as error:
            raise KernelError(operation, error.errno or 0) from error
        return messages(data)


async def readable(*sockets: socket.socket) -> None:
    """Return when one of them has something to read."""
    loop = asyncio.get_running_loop()
    is_readable = asyncio.Event()
    for sock in sockets:
        loop.add_reader(sock, is_readable.set)
    try:
        await is_readable.wait()
    finally:
        for sock in sockets:
            loop.remove_reader(sock)


def read_news(sock: socket.socket) -> list[Message | None]:
    """What a socket that never blocks has been told, the oldest first, up to `_NEWS` messages.

    None: more happened than the kernel could tell, so anything may have changed.
    """
    news: list[Message | None] = []
    while len(news) < _NEWS:
        try:
            news += messages(_received(sock))
        except BlockingIOError:
            break
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            news.append(None)
    return news


def _received(sock: socket.socket) -> bytes:
    """By way of a buffer that stays: a new one of this size for each answer of a few bytes costs
    more than the answer."""
    buffer: bytearray | None = getattr(_buffers, "of_thread", None)
    if buffer is None:
        buffer = _buffers.of_thread = bytearray(_BUFFER_BYTES)
    length = sock.recv_into(buffer)
    return bytes(memoryview(buffer)[:length])


def messages(data: bytes) -> Iterator[Message]:
    """Each message in what a socket gave."""
    start, end = 0, len(data)
    while start + 16 <= end:
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, start)
        if length < 16:
            return
        yield kind, flags, sequence, data[start + 16 : start + length]
        start += (length + 3) & ~3


def open_socket(protocol: int = socket.NETLINK_ROUTE, groups: int = 0) -> socket.socket:
    """A netlink socket in the calling thread's network namespace."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
        sock.setsockopt(_SOL_NETLINK, option, 1)
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 22)
    sock.bind((0, groups))
    return sock


def _message(request: Request, flags: int, sequence: int) -> bytes:
    body = request.body
    header = _HEADER.pack(16 + len(body), request.kind, flags | NLM_F_REQUEST, sequence, 0)
    return header + body + bytes(-len(body) % 4)


def _error(operation: str, flags: int, body: bytes) -> KernelError | None:
    (code,) = struct.unpack_from("=i", body)
    if code == 0:
        return None
    hint = ""
    if flags & _NLM_F_ACK_TLVS:
        original_bytes = 16 if flags & _NLM_F_CAPPED else struct.unpack_from("=I", body, 4)[0]
        text = attributes(body, 4 + ((original_bytes + 3) & ~3)).get(_NLMSGERR_ATTR_MSG, b"")
        hint = text.rstrip(b"\0").decode(errors="replace")
    return KernelError(operation, -code, hint)
