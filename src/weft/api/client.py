"""The CLI's way to weftd: http.client over the unix socket, and the errors of `weft.errors`.

Synchronous and of the standard library (and msgspec), so that a command starts fast.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from weft.api.errors import ErrorBody, from_body
from weft.errors import UnavailableError, WeftError
from weft.model.codec import encode
from weft.printable import printable_values
from weft.readiness import ready

T = TypeVar("T")
Query = Mapping[str, str | Sequence[str] | None]

TIMEOUT_S = 75.0
"""More than the server's own deadline, so that its sentence gets here."""


class Client:
    """Speaks to one weftd; one connection a request."""

    def __init__(
        self, path: Path, timeout_s: float = TIMEOUT_S, *, is_for_people: bool = False
    ) -> None:
        """is_for_people: all text of answers is made fit for a terminal (`weft.printable`)."""
        self._path = path
        self._timeout_s = timeout_s
        self._is_for_people = is_for_people

    def get(self, wanted: type[T], *path: str, query: Query | None = None) -> T:
        """GET: the answer as `wanted`. Path parts are quoted; query values None are left out."""
        return self._decode(self.request("GET", path, query=query), wanted)

    def send(
        self,
        wanted: type[T],
        method: str,
        *path: str,
        query: Query | None = None,
        body: object = None,
    ) -> T:
        """Any other method that answers with a body."""
        return self._decode(self.request(method, path, query=query, body=body), wanted)

    def delete(self, *path: str, query: Query | None = None) -> None:
        """DELETE."""
        self.request("DELETE", path, query=query)

    def request(
        self,
        method: str,
        path: Sequence[str],
        *,
        query: Query | None = None,
        body: object = None,
    ) -> bytes:
        """The body of the answer; raises what the server says, UnavailableError without one."""
        data = encode(body) if body is not None else None
        status, answer = self._exchange(method, _target(path, query), data)
        if status >= 400:
            raise self._error(status, answer)
        return answer

    def lines(self, wanted: type[T], *path: str, query: Query | None = None) -> Iterator[T]:
        """GET of an answer that goes on: each line as it comes, as long as weftd serves."""
        with self._connected() as connection:
            connection.request("GET", _target(path, query))
            response = connection.getresponse()
            if response.status >= 400:
                raise self._error(response.status, response.read())
            if connection.sock is not None:
                connection.sock.settimeout(None)  # any time may pass between two lines
            while line := response.readline():
                yield self._decode(line, wanted)

    def _exchange(self, method: str, target: str, data: bytes | None) -> tuple[int, bytes]:
        with self._connected() as connection:
            headers = {"Content-Type": "application/json"} if data is not None else {}
            connection.request(method, target, body=data, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[_UnixConnection]:
        """A connection; what goes wrong with it becomes a sentence."""
        connection = _UnixConnection(self._path, self._timeout_s)
        try:
            yield connection
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._not_running(f"no socket {self._path}") from error
        except ConnectionRefusedError as error:
            raise self._not_running(f"nobody serves on {self._path}") from error
        except PermissionError as error:
            raise UnavailableError(
                f"socket {self._path}: permission denied; run as root or as a member of the"
                " group weft"
            ) from error
        except TimeoutError as error:
            raise UnavailableError(
                f"weftd did not answer within {self._timeout_s:g} s; see weft doctor"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"socket {self._path}: {error!r}") from error
        finally:
            connection.close()

    def _not_running(self, why: str) -> UnavailableError:
        return UnavailableError(
            f"weftd is not running on this host ({why}); start it with: weft up"
        )

    def _error(self, status: int, answer: bytes) -> WeftError:
        try:
            return from_body(msgspec.json.decode(answer, type=ready(ErrorBody)))
        except msgspec.MsgspecError:
            return WeftError(f"socket {self._path}: answer {status} that is none of weftd's")

    def _decode(self, answer: bytes, wanted: type[T]) -> T:
        try:
            if self._is_for_people:
                return msgspec.convert(printable_values(msgspec.json.decode(answer)), ready(wanted))
            return msgspec.json.decode(answer, type=ready(wanted))
        except msgspec.MsgspecError as error:
            raise WeftError(
                f"weftd's answer does not fit this weft ({error}); are both of one version?"
            ) from error


def _target(path: Sequence[str], query: Query | None) -> str:
    target = "/v1/" + "/".join(quote(part, safe="") for part in path)
    pairs = {name: value for name, value in (query or {}).items() if value is not None}
    return f"{target}?{urlencode(pairs, doseq=True)}" if pairs else target


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("weftd", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
