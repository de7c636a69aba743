from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.hosts import Nursery


@pytest.fixture
def cluster(tmp_path: Path) -> Nursery:
    return Nursery(tmp_path / "cluster")


@pytest.fixture
def foreign(tmp_path: Path) -> Nursery:
    return Nursery(tmp_path / "foreign")
