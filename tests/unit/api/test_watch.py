"""GET /v1/watch: records as lines, from the beginning or from a revision, and no slow reader costs
anybody anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.lines import Reader, lines_of
from tests.unit.conftest import Weftd
from weft.api import watching
from weft.api.schema import StatusInfo
from weft.api.watching import Feed, Watcher
from weft.errors import InvalidError, UnavailableError
from weft.model.ids import NetworkId, Vni
from weft.model.records import Network, Subnet
from weft.store.interface import Delete, Put
from weft.store.memory import MemoryStore

FOO = Network(id=NetworkId("n1"), name="foo", vni=Vni(5000))
BAR = Network(id=NetworkId("n2"), name="bar", vni=Vni(5001))


def reader(weftd: Weftd, query: str) -> AbstractContextManager[Reader]:
    return lines_of(weftd.settings.api_socket, f"/v1/watch{query}")


def write(weftd: Weftd, *changes: Put | Delete) -> None:
    weftd.run(lambda: weftd.store.write(changes))


def watchers(weftd: Weftd) -> int:
    return len(weftd.feed._watchers)


def until(condition: Callable[[], object]) -> None:
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_a_watcher_gets_what_is_there_and_then_each_change(weftd: Weftd) -> None:
    write(weftd, Put(FOO))
    with reader(weftd, "?kind=network&kind=subnet") as watcher:
        first = watcher.line()
        assert (first["event"], first["kind"], first["id"]) == ("put", "network", "n1")
        assert first["record"]["name"] == "foo"
        assert watcher.line()["event"] == "all"
        write(weftd, Put(BAR))
        write(weftd, Put(replace(FOO, name="foo2")))
        write(weftd, Delete(Network, "n2"))
        assert watcher.line()["record"]["name"] == "bar"
        assert watcher.line()["record"]["name"] == "foo2"
        last = watcher.line()
        assert (last["event"], last["id"], last["record"]) == ("removed", "n2", None)
    until(lambda: not watchers(weftd))


def test_a_watcher_that_comes_back_gets_what_it_has_missed(weftd: Weftd) -> None:
    with reader(weftd, "?kind=network") as watcher:
        revision = watcher.line()["revision"]
    write(weftd, Put(FOO), Put(BAR))
    with reader(weftd, f"?kind=network&since={revision}") as watcher:
        assert watcher.line()["id"] == "n1"
        second = watcher.line()
        assert second["id"] == "n2"
    write(weftd, Delete(Network, "n1"))
    with reader(weftd, f"?kind=network&since={second['revision']}") as watcher:
        assert watcher.line()["event"] == "removed"


@pytest.mark.parametrize("since", ["", "x", "deadbeef.1", ".", "%FF", "9" * 100])
def test_a_revision_that_is_not_known_is_told_as_missed(weftd: Weftd, since: str) -> None:
    with reader(weftd, f"?since={since}") as watcher:
        assert watcher.line()["event"] == "missed"
        assert watcher.end() == b""


def test_a_kind_that_is_none_and_watchers_that_are_too_many_are_refused(weftd: Weftd) -> None:
    with pytest.raises(InvalidError, match="kind 'nosuch': there is none; known are host,"):
        weftd.feed.watch(["nosuch"], None)
    made = [weftd.feed.watch((), None) for _ in range(watching.MOST_WATCHERS)]
    with pytest.raises(UnavailableError, match="end one of them"):
        weftd.feed.watch((), None)
    for each in made:
        each.close()
    assert not watchers(weftd)


def test_a_client_that_goes_without_a_word_is_noticed(
    weftd: Weftd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.api.lines.LOOK_S", 0.05)
    with reader(weftd, "?kind=network") as watcher:
        assert watcher.line()["event"] == "all"
        assert watchers(weftd) == 1
    until(lambda: not watchers(weftd))


def test_a_client_that_takes_nothing_holds_up_nobody_and_is_let_go(
    weftd: Weftd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.api.lines.LOOK_S", 0.05)
    monkeypatch.setattr("weft.api.lines.LAST_S", 0.2)
    monkeypatch.setattr(watching, "WAITING", 100)
    big = tuple((f"k{number}", "x" * 10_000) for number in range(20))
    with reader(weftd, "?kind=network"):
        for number in range(300):
            many = replace(FOO, id=NetworkId(f"n{number}"), labels=big)
            write(weftd, Put(many))
        until(lambda: not watchers(weftd))
    assert weftd.client.get(StatusInfo, "status").is_ready


def test_weftd_stops_at_once_though_somebody_watches(folder: Path) -> None:
    weftd = Weftd(folder)
    weftd.start()
    with reader(weftd, "?kind=network") as watcher:
        assert watcher.line()["event"] == "all"
        began_s = time.monotonic()
        weftd.stop()
        assert time.monotonic() - began_s < 1.5
        assert watcher.end() == b""


class Desk:
    """A feed without a server."""

    def __init__(self) -> None:
        self.store = MemoryStore([])
        self.feed = Feed(self.store, self.store.watch, "run1")

    async def lines(self, watcher: Watcher, count: int) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        async for line in watcher.lines():
            found.append((line.event, line.id))
            if len(found) == count:
                break
        return found


async def test_of_several_changes_of_a_record_the_last_is_told() -> None:
    desk = Desk()
    watcher = desk.feed.watch(["network"], None)
    for number in range(5):
        await desk.store.write([Put(replace(FOO, name=f"foo{number}")), Put(BAR)])
    await desk.store.write([Delete(Network, "n2")])
    assert await desk.lines(watcher, 3) == [("all", ""), ("put", "n1"), ("removed", "n2")]


async def test_a_watcher_that_falls_behind_is_told_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "WAITING", 10)
    desk = Desk()
    slow, other = desk.feed.watch(["network"], None), desk.feed.watch(["subnet"], None)
    for number in range(11):
        await desk.store.write([Put(replace(FOO, id=NetworkId(f"n{number}")))])
    assert await desk.lines(slow, 9) == [("missed", "")]
    assert not other.has_missed


async def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    for number in range(watching.REMEMBERED + 5):
        await desk.store.write([Put(replace(FOO, name=f"foo{number}"))])
    assert desk.feed.watch([], "run1.4").has_missed
    assert not desk.feed.watch([], "run1.5").has_missed
    assert not desk.feed.watch([], f"run1.{desk.feed.number}").has_missed
    assert desk.feed.watch([], f"run1.{desk.feed.number + 1}").has_missed
    assert Subnet.KIND == "subnet"
