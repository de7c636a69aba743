"""Folders that Weft makes outside its own go with a purge, and no others."""

from __future__ import annotations

from pathlib import Path

from weft.config import Settings
from weft.host.folders import make_folder, notes, remove_made_folders


def settings(folder: Path) -> Settings:
    return Settings(name="h1", state_dir=str(folder / "state"))


def test_what_was_made_goes_the_deepest_first(tmp_path: Path) -> None:
    make_folder(tmp_path / "docker/plugins", settings(tmp_path))
    assert remove_made_folders(settings(tmp_path)) == [
        tmp_path / "docker/plugins",
        tmp_path / "docker",
    ]
    assert not (tmp_path / "docker").exists()


def test_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    make_folder(tmp_path / "docker/plugins", settings(tmp_path))
    make_folder(tmp_path / "docker/plugins", settings(tmp_path))
    assert remove_made_folders(settings(tmp_path)) == [tmp_path / "docker/plugins"]
    assert (tmp_path / "docker").is_dir()


def test_what_somebody_uses_stays(tmp_path: Path) -> None:
    make_folder(tmp_path / "docker/plugins", settings(tmp_path))
    (tmp_path / "docker/metrics.sock").touch()
    assert remove_made_folders(settings(tmp_path)) == [tmp_path / "docker/plugins"]
    assert (tmp_path / "docker/metrics.sock").exists()


def test_the_notes_go_too(tmp_path: Path) -> None:
    make_folder(tmp_path / "docker", settings(tmp_path))
    remove_made_folders(settings(tmp_path))
    assert not notes(settings(tmp_path)).exists()
    assert remove_made_folders(settings(tmp_path)) == []
