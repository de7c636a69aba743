"""Resolvers that went stay those of the workloads that were told of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.dns.served import serving
from tests.unit.dns.world import HOST, eventually
from weft.dns import service
from weft.dns.former import FILE, MAX_FORMER, FormerResolvers
from weft.engine.compiler import Compiler
from weft.engine.ebpf.compile import functions
from weft.engine.ebpf.tables.resolvers import RESOLVERS
from weft.model.addresses import IPAddress, ip_address
from weft.model.records import Host
from weft.store.memory import MemoryStore

HOME, CAFE, OFFICE, OFFICE6 = map(
    ip_address, ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1")
)


def addresses(former: FormerResolvers) -> tuple[IPAddress, ...]:
    return tuple(former.addresses)


def test_what_went_is_kept_and_what_came_back_is_present_again(tmp_path: Path) -> None:
    former = FormerResolvers(tmp_path)
    former.follow((HOME,))
    assert addresses(former) == ()
    former.follow((CAFE,))
    former.follow((OFFICE, OFFICE6))
    assert addresses(former) == (CAFE, HOME)
    former.follow((HOME,))
    assert addresses(former) == (OFFICE, OFFICE6, CAFE)


def test_a_weftd_that_starts_again_knows_them_and_a_host_that_does_not(tmp_path: Path) -> None:
    FormerResolvers(tmp_path / "run").follow((HOME, OFFICE6))
    again = FormerResolvers(tmp_path / "run")
    again.follow((CAFE,))  # it changed while weftd was away
    assert addresses(again) == addresses(FormerResolvers(tmp_path / "run")) == (HOME, OFFICE6)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [FILE]
    (tmp_path / "run" / FILE).unlink()  # the host started: no workload runs on
    assert addresses(FormerResolvers(tmp_path / "run")) == ()


def test_they_are_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    former = FormerResolvers(tmp_path)
    for number in range(MAX_FORMER + 10):
        former.follow((ip_address(f"10.0.0.{number}"),))
    assert len(former.addresses) == MAX_FORMER
    assert former.addresses[0] == ip_address(f"10.0.0.{MAX_FORMER + 8}")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"present": ["x"]}', '{"former": 7}', "\0" * 99])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    former = FormerResolvers(tmp_path)
    former.follow((HOME,))
    former.follow((CAFE,))
    assert addresses(FormerResolvers(tmp_path)) == (HOME,)


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    former = FormerResolvers(tmp_path / "file")
    former.follow((HOME,))
    former.follow((CAFE,))
    assert addresses(former) == (HOME,)


async def test_every_way_of_changing_the_list_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_S", 0.01)
    path = tmp_path / "resolv.conf"

    async with serving(tmp_path) as running:

        async def becomes(*present: str) -> None:
            async def is_seen() -> bool:
                return [str(address) for address in running.service.resolvers()] == [*present]

            await eventually(is_seen)

        path.write_text(f"nameserver {HOME}\nnameserver {OFFICE6}\n")
        await becomes(str(HOME), str(OFFICE6))
        other = tmp_path / "other"
        other.write_text(f"nameserver {CAFE}\n")
        other.replace(path)  # as NetworkManager does
        await becomes(str(CAFE))
        stub = tmp_path / "stub"
        stub.write_text(f"nameserver {OFFICE}\n")
        path.unlink()
        path.symlink_to(stub)  # as systemd-resolved is set up
        await becomes(str(OFFICE))
        stub.write_text("")
        await becomes("8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844")
        former = running.service.former_resolvers()
        assert tuple(former)[:4] == (OFFICE, CAFE, HOME, OFFICE6)


def test_queries_to_them_are_rewritten_like_those_to_the_present_ones() -> None:
    host = Host(id=HOST, name="h1", resolvers=(CAFE,), former_resolvers=(HOME, OFFICE6))
    rows = Compiler(functions(HOST), MemoryStore([host])).rows()
    assert set(rows[RESOLVERS.name]) == {CAFE, HOME, OFFICE6}
