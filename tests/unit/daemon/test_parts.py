"""The table of weftd's parts goes together."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest

from weft.daemon.parts import parts
from weft.daemon.running import Part


@pytest.fixture
def table() -> dict[str, Part]:
    weftd = MagicMock()
    weftd.settings.docker = True
    return {part.name: part for part in parts(weftd)}


def test_each_part_needs_only_parts_that_stand_before_it_and_say_when_they_are_ready(
    table: dict[str, Part],
) -> None:
    before: set[str] = set()
    for part in table.values():
        assert set(part.needs) <= before, f"{part.name} would wait for ever"
        if part.ready is not None:
            before.add(part.name)


def test_weftd_ends_only_with_what_it_cannot_do_without(table: dict[str, Part]) -> None:
    vital = {part.name for part in table.values() if not part.is_kept}
    assert vital == {"engine", "dns", "api", "ready"}


def test_nothing_is_served_to_workloads_before_the_records_are_in_force(
    table: dict[str, Part],
) -> None:
    for name in ("dns", "docker", "proxy", "ready"):
        assert table[name].needs == ("engine",)


def test_docker_is_no_part_where_it_is_switched_off() -> None:
    weftd = MagicMock()
    weftd.settings.docker = False
    assert "docker" not in {part.name for part in parts(weftd)}
