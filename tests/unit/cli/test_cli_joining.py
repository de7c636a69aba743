"""What weft up does with a token before weftd runs."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from weft.cli import joining
from weft.cluster import token as tokens
from weft.cluster.interface import Endpoint
from weft.cluster.remembered import Met, Remembered
from weft.cluster.secret import Secrets
from weft.config import Settings
from weft.errors import ConflictError, InvalidError

OURS, OTHER = tokens.encode(bytes(32)), tokens.encode(bytes(range(32)))


@pytest.fixture
def settings(tmp_path: Path) -> Callable[[str], Settings]:
    return lambda join: Settings(state_dir=str(tmp_path), join=join)


def meet(folder: Path) -> None:
    """This host has met another one of its cluster."""
    met = Met(name="h2", endpoints=(Endpoint("192.0.2.2", 6783),))
    Remembered(folder).update(hosts={"b" * 16: met})


def test_a_token_is_taken_from_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text(f"{OURS}\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{OURS}\n"))
    assert joining.read_token(OURS, None, {"WEFT_JOIN_TOKEN": OTHER}) == OURS
    assert joining.read_token("-", None, {}) == f"{OURS}\n"
    assert joining.read_token(None, file, {}) == f"{OURS}\n"
    assert joining.read_token(None, None, {"WEFT_JOIN_TOKEN": OURS}) == OURS
    assert joining.read_token(None, None, {}) is None
    with pytest.raises(InvalidError, match="give one of them"):
        joining.read_token(OURS, file, {})
    with pytest.raises(InvalidError, match="--token-file"):
        joining.read_token(None, tmp_path / "none", {})


def test_a_first_host_needs_no_token(settings: Callable[[str], Settings]) -> None:
    assert joining.plan(settings(""), None) == joining.Plan(None, False)


def test_joining_without_a_token_is_refused(settings: Callable[[str], Settings]) -> None:
    with pytest.raises(InvalidError, match="the cluster's token is needed"):
        joining.plan(settings("192.0.2.1"), None)
    Secrets.found(Path(settings("").state_dir), os.urandom, 1000.0)
    with pytest.raises(InvalidError, match="the cluster's token is needed"):
        joining.plan(settings("192.0.2.1"), None)


def test_the_token_is_written_where_only_root_reads(settings: Callable[[str], Settings]) -> None:
    wanted = joining.plan(settings("192.0.2.1"), f" {OURS}\n")
    assert wanted.is_first
    joining.write(settings("192.0.2.1"), wanted)
    file = Path(settings("").state_dir) / "cluster/secret.json"
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0
    # It is there now: nothing is to be written, and no token is needed any more.
    assert joining.plan(settings("192.0.2.1"), OURS).token is None
    assert joining.plan(settings("192.0.2.1"), None).token is None


def test_a_host_that_is_alone_joins_another_cluster(settings: Callable[[str], Settings]) -> None:
    Secrets.found(Path(settings("").state_dir), os.urandom, 1000.0)
    assert joining.plan(settings("192.0.2.1"), OURS) == joining.Plan(OURS, True)


def test_a_member_does_not(settings: Callable[[str], Settings], tmp_path: Path) -> None:
    Secrets.join(tmp_path, OURS)
    meet(tmp_path)
    for join in ("192.0.2.1", "192.0.2.2,192.0.2.1", ""):
        with pytest.raises(ConflictError, match=r"h2.*weft leave"):
            joining.plan(settings(join), OTHER)
    assert joining.plan(settings("192.0.2.1"), OURS) == joining.Plan(None, False)


def test_a_member_takes_its_own_clusters_new_token(
    settings: Callable[[str], Settings], tmp_path: Path
) -> None:
    Secrets.join(tmp_path, OURS)
    meet(tmp_path)
    assert joining.plan(settings("192.0.2.2"), OTHER) == joining.Plan(OTHER, True)
    secrets = Secrets.join(tmp_path, OURS)
    secrets.rotate(os.urandom, 2000.0)
    secrets.retire_previous()
    with pytest.raises(InvalidError, match="was replaced"):
        joining.plan(settings("192.0.2.2"), OURS)


@pytest.mark.parametrize("token", ["", "weft1", "weft2abc", OURS[:-1], OURS + "a"])
def test_what_is_no_token_is_refused_without_showing_it(
    settings: Callable[[str], Settings], token: str
) -> None:
    with pytest.raises(InvalidError, match=r"^token: ") as refused:
        joining.plan(settings("192.0.2.1"), token)
    assert OURS[6:20] not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "port", "line"),
    [
        ("192.0.2.1", 6783, "weft up --join 192.0.2.1 --token T"),
        ("192.0.2.1", 7000, "weft up --join 192.0.2.1:7000 --token T"),
        ("2001:db8::1", 6783, "weft up --join 2001:db8::1 --token T"),
        ("2001:db8::1", 7000, "weft up --join [2001:db8::1]:7000 --token T"),
        (None, 6783, "weft up --join ADDRESS --token T"),
    ],
)
def test_the_line_for_the_others(address: str | None, port: int, line: str) -> None:
    assert joining.join_line(address, port, 6783, "T") == line
