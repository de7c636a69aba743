"""Names, labels and reasons of others reach terminals and logs as text and nothing else."""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from weft import logs
from weft.api.errors import to_body
from weft.api.schema import NetworkInfo, NetworkList, Problem, ProblemList
from weft.cli import main as command
from weft.cli.doctor import _print
from weft.doctor.finding import Finding
from weft.errors import InvalidError
from weft.frontends.docker.protocol import failure
from weft.model.choices import Multicasting
from weft.printable import printable, printable_json, printable_lines, printable_values

# isort: split
import structlog

HOSTILE = "web\x1b[2J\x1b]0;title\x07\nforged line\r\x9b31m\u202eevil\x7f"


@given(st.text())
def test_nothing_but_what_prints_is_left(text: str) -> None:
    assert printable(text).isprintable()
    assert all(line.isprintable() for line in printable_lines(text).split("\n"))
    assert printable(printable(text)) == printable(text)


@given(st.recursive(st.text() | st.integers() | st.none(), st.lists))
def test_json_means_what_it_meant(value: object) -> None:
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except UnicodeEncodeError:
        return
    shown = printable_json(text)
    assert json.loads(shown) == value
    assert shown.replace("\n", "").isprintable()


def test_keys_and_values_however_deep_are_shown() -> None:
    value = {"a\n": [HOSTILE, {"b": "\x1b"}, 7, None, True]}
    assert printable_values(value) == {"a\\n": [printable(HOSTILE), {"b": "\\x1b"}, 7, None, True]}


class Weftd:
    """Answers every request on a unix socket with one body."""

    def __init__(self, path: Path, status: str, body: bytes) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self._answer = head.encode() + body
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(self._answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def weftd(run_dir: Path, body: object, status: str = "200 OK") -> Iterator[list[str]]:
    run_dir.mkdir(exist_ok=True)
    path = run_dir / "weftd.sock"
    server = Weftd(path, status, msgspec.json.encode(body))
    try:
        yield ["--run-dir", str(run_dir)]
    finally:
        server.close()
        path.unlink()


def lines_of(arguments: list[str]) -> list[str]:
    result = CliRunner().invoke(command.cli, arguments)
    assert result.exit_code in (0, 1)
    return result.output.split("\n")


NETWORK = NetworkInfo(
    id="1",
    name=HOSTILE,
    tenant=HOSTILE,
    tenant_id=HOSTILE,
    vni=7,
    is_internal=False,
    is_exposed=False,
    mtu_bytes=None,
    effective_mtu_bytes=1450,
    labels={HOSTILE: HOSTILE},
    subnets=(),
    port_count=0,
    total_port_count=0,
    multicast=Multicasting.SNOOP,
)
PROBLEM = Problem(kind="network", id="1", name=HOSTILE, reason=HOSTILE, fix=HOSTILE)


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["network", "ls"], NetworkList(networks=(NETWORK,))),
        (["status", "problems"], ProblemList(problems=(PROBLEM,))),
    ],
)
@pytest.mark.parametrize("is_json", [False, True])
def test_commands_print_hostile_names_as_text(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    body: object,
    is_json: bool,
) -> None:
    monkeypatch.setenv("WEFT_RUN_DIR", "")  # the command sets it
    with weftd(tmp_path / "run", body) as where:
        lines = lines_of([*where, *arguments, *(["--json"] if is_json else [])])
    assert len(lines) > 1 and all(line.isprintable() for line in lines)
    assert not any(line.startswith("forged") for line in lines)
    if is_json:
        assert msgspec.json.decode("\n".join(lines), type=type(body)) == body


def test_an_error_of_weftd_is_printed_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEFT_RUN_DIR", "")  # the command sets it
    refusal = to_body(InvalidError(HOSTILE))
    with weftd(tmp_path / "run", refusal, "400 Bad Request") as where, pytest.raises(SystemExit):
        command.main([*where, "network", "ls"])
    printed = capsys.readouterr().err
    assert printed.startswith("weft: web\\x1b") and "\x1b" not in printed


def test_doctor_prints_what_it_finds_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    _print(Finding(name="docker", state="failed", detail=HOSTILE, fix=HOSTILE))
    printed = capsys.readouterr().out
    assert all(line.isprintable() for line in printed.split("\n"))


def test_docker_is_given_text() -> None:
    assert all(line.isprintable() for line in failure(HOSTILE).err.split("\n"))


def test_a_log_has_one_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.set_up("info", stream)
        structlog.get_logger().info("container started", name=HOSTILE, plain="\x1b[1m")
        logging.getLogger("library").warning("said %s", HOSTILE)
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            structlog.get_logger().exception("failed")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    lines = stream.getvalue().split("\n")
    assert all(line.isprintable() for line in lines)
    events = [line for line in lines if line and not line.startswith("  ")]
    assert len(events) == 3
