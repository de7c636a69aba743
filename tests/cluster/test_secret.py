"""The secret, its file and its token."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.cluster import token
from weft.cluster.secret import Secret, Secrets
from weft.errors import ConflictError, InvalidError, UnavailableError

SECRET = random.Random(1).randbytes(32)
TOKEN = token.encode(SECRET)


@given(st.binary(min_size=32, max_size=32))
def test_a_token_is_read_back(secret: bytes) -> None:
    text = token.encode(secret)
    assert text.startswith("weft1") and len(text) == token.LENGTH == 63
    assert token.decode(f" {text.upper()}\n") == secret


@given(st.integers(5, 62), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_wrong_character_is_found(position: int, character: str) -> None:
    wrong = TOKEN[:position] + character + TOKEN[position + 1 :]
    if wrong != TOKEN:
        with pytest.raises(InvalidError, match="a character is wrong"):
            token.decode(wrong)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("secret", "must begin with weft1"),
        (TOKEN[:-1], "has 62 characters, must have 63"),
        (TOKEN + "a", "has 64 characters"),
        (TOKEN[:20] + "!" + TOKEN[21:], "character 21 is none of"),
        (TOKEN[:20] + "é" + TOKEN[21:], "character 21 is none of"),
    ],
)
def test_a_bad_token_is_explained_without_being_shown(text: str, reason: str) -> None:
    with pytest.raises(InvalidError, match=reason) as raised:
        token.decode(text)
    assert TOKEN[5:20] not in str(raised.value)
    assert "weft token show" in str(raised.value)


def test_a_new_cluster_is_kept_where_only_root_reads(tmp_path: Path) -> None:
    founded = Secrets.found(tmp_path, os.urandom, 1000.0)
    file = tmp_path / "cluster" / "secret.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    opened = Secrets.open(tmp_path)
    assert opened is not None
    assert (opened.token(), opened.cluster_id) == (founded.token(), founded.cluster_id)
    assert opened.is_cluster_certain
    assert [path.name for path in file.parent.iterdir()] == ["secret.json"]


def test_a_host_alone_has_no_secret_until_there_is_one(tmp_path: Path) -> None:
    assert Secrets.open(tmp_path) is None


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    Secrets.found(tmp_path, os.urandom, 1000.0)
    file = tmp_path / "cluster" / "secret.json"
    file.chmod(0o644)
    file.parent.chmod(0o755)
    opened = Secrets.open(tmp_path)
    assert opened is not None
    opened.adopt_cluster("0" * 16)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_damaged_file_is_an_error_that_says_how_to_join_again(tmp_path: Path) -> None:
    Secrets.found(tmp_path, os.urandom, 1000.0)
    (tmp_path / "cluster" / "secret.json").write_bytes(b'{"current": {"value": "QUJD')
    with pytest.raises(InvalidError, match="join again with") as raised:
        Secrets.open(tmp_path)
    assert "QUJD" not in str(raised.value)
    joined = Secrets.join(tmp_path, TOKEN)
    assert joined.current.value == SECRET


def test_joining_again_with_the_same_token_changes_nothing(tmp_path: Path) -> None:
    joined = Secrets.join(tmp_path, TOKEN)
    assert not joined.is_cluster_certain
    joined.adopt_cluster("0123456789abcdef")
    again = Secrets.join(tmp_path, TOKEN)
    assert again.is_cluster_certain and again.cluster_id == "0123456789abcdef"


def test_a_bad_token_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    founded = Secrets.found(tmp_path, os.urandom, 1000.0)
    with pytest.raises(InvalidError):
        Secrets.join(tmp_path, TOKEN[:-1])
    opened = Secrets.open(tmp_path)
    assert opened is not None and opened.token() == founded.token()


def test_a_disk_that_takes_nothing_leaves_the_secret_as_it_was(tmp_path: Path) -> None:
    secrets = Secrets.found(tmp_path, os.urandom, 1000.0)
    before = secrets.current_id
    (tmp_path / "cluster" / ".secret.json.new").mkdir()
    with pytest.raises((UnavailableError, InvalidError)):
        secrets.rotate(os.urandom, 2000.0)
    assert secrets.current_id == before
    opened = Secrets.open(tmp_path)
    assert opened is not None and opened.current_id == before


def test_a_rotation_is_finished_before_the_next(tmp_path: Path) -> None:
    secrets = Secrets.found(tmp_path, os.urandom, 1000.0)
    first = secrets.current_id
    secrets.rotate(os.urandom, 2000.0)
    with pytest.raises(ConflictError, match="not finished"):
        secrets.rotate(os.urandom, 3000.0)
    assert secrets.by_id(first) is not None
    secrets.retire_previous()
    assert secrets.by_id(first) is None and secrets.is_retired(first)
    secrets.rotate(os.urandom, 1.0)  # a clock that was set back
    assert secrets.previous is not None and secrets.current.serial > secrets.previous.serial


@given(st.permutations(range(3)))
def test_of_rotations_at_once_the_same_one_wins_in_any_order(order: list[int]) -> None:
    base = Secret(SECRET, 1000)
    rivals = [Secret(bytes([n]) * 32, 2000 + n // 2) for n in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        secrets = Secrets.join(Path(folder), TOKEN)
        secrets.adopt(base, base.id)
        for n in order:
            secrets.adopt(rivals[n], base.id)
        assert secrets.current == max(rivals, key=lambda each: each.order)
        assert secrets.previous is not None and secrets.previous.id == base.id
