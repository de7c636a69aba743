"""Names, labels and options that Docker takes, and Weft does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.docker.fake_engine import FakeEngine
from tests.unit.docker.machines import machines, quiet, until
from tests.unit.docker.plugin import NETWORK, plugin
from weft.control.references import check_network_name
from weft.frontends.docker.names import labels, network_name, one_line
from weft.model import codec
from weft.model.records import Binding, Network, Port, Subnet

STRANGE = (
    "my net",
    "default/foo",
    "foo/bar",
    "/",
    "..",
    "-x",
    "netzwerk-für-alle",
    "网络",
    "x" * 64,
    "x" * 5000,
    "a\nb",
    "\x1b[2Jfoo",
    "foo\u202egnp",
    "\ud800",
)


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_a_strange_name_becomes_one_that_weft_takes_and_no_others(name: str) -> None:
    taken = network_name(one_line(name))
    assert check_network_name(taken) == taken != name
    assert network_name(one_line(name)) == taken
    assert len({network_name(one_line(other)) for other in STRANGE}) == len(STRANGE)
    codec.encode(one_line(name).encode(errors="replace").decode())


@pytest.mark.parametrize("name", ["foo", "a.b_c-d", "0", "x" * 63])
def test_any_other_name_stays(name: str) -> None:
    assert network_name(one_line(name)) == name


@pytest.mark.parametrize("name", ["my net", "netzwerk-für-alle", "x" * 300, "a\nb"], ids=ascii)
async def test_a_network_with_a_strange_name_is_everywhere_and_said_to_be_called_otherwise(
    name: str,
) -> None:
    async with machines("a", "b") as (a, b):
        await a.engine.create_network(name, "10.1.0.0/24")
        taken = network_name(one_line(name))
        await until(a.cluster, lambda: b.names == [taken])
        assert a.names == [name] and a.weft == b.weft == [taken]
        (notice,) = a.notices
        assert "Weft takes no such name" in notice and f"it is {taken}" in notice
        assert "\n" not in notice and b.notices == []
        assert "Err" not in await a.endpoint(name)
        assert "Err" not in await b.endpoint(taken)
        await a.end(name)
        await b.end(taken)
        await a.engine.remove_network(name)
        await until(a.cluster, lambda: a.names == b.names == [])
        assert a.notices == []


async def test_two_hosts_that_make_one_strange_name_have_one_network() -> None:
    async with machines("a", "b") as (a, b):
        await a.engine.create_network("my net", "10.1.0.0/24", is_told=False)
        await b.engine.create_network("my net", "10.1.0.0/24")
        taken = network_name("my net")
        made = a.engine.by_name("my net")
        assert made is not None
        await a.engine.say("network", "create", made["Id"], name="my net", type="weft")
        await until(a.cluster, lambda: a.weft == b.weft == [taken])
        await until(a.cluster, lambda: len(a.notices) == len(b.notices) == 1)


async def test_a_name_with_a_slash_is_no_other_network_of_the_cluster() -> None:
    async with machines("a") as (a,):
        await a.engine.create_network("foo", "10.1.0.0/24")
        await until(a.cluster, lambda: a.weft == ["foo"])
        await a.engine.create_network("default/foo", "10.2.0.0/24")
        await until(a.cluster, lambda: len(a.notices) == 1)
        await quiet(a.cluster)
        foo = a.host.control.networks.find("foo")
        assert [str(s.cidr) for s in a.host.control.networks.subnets(foo)] == ["10.1.0.0/24"]
        assert sorted(a.weft) == sorted(["foo", network_name("default/foo")])
        with pytest.raises(RuntimeError, match="network name 'default/foo': use 1 to 63"):
            await a.engine.create_network("x", "10.3.0.0/24", name="default/foo")


def test_labels_that_a_record_cannot_hold_are_left_out() -> None:
    given = {
        "com.docker.compose.network": "default",
        "lines": "a\nb\tc",
        "escape": "\x1b[2J",
        "\x00": "x",
        "turned": "\u202egnp",
        "large": "x" * 70000,
        "half": "\ud800",
    }
    assert list(labels(given)) == ["com.docker.compose.network", "lines"]
    many = {f"k{n}": "v" * 1000 for n in range(1000)}
    assert 200 < len(labels(many)) < 300


async def test_hostile_labels_and_names_keep_nobody_from_being_learnt() -> None:
    engine = FakeEngine()
    async with plugin() as docker:
        await docker.create_network(NETWORK, ("10.1.0.0/24", "10.1.0.1/24"))
        await docker.create_network("b" * 64, ("10.2.0.0/24", "10.2.0.1/24"))
        await docker.create_network("c" * 64, ("10.3.0.0/24", "10.3.0.1/24"))
        hostile = {"\x1b": "\x00" * 100, "docker-id": "x", "docker": "y", "k": "v" * 2_000_000}
        engine.add_network(NETWORK, "\x1b]0;pwned\x07", Labels=hostile)
        engine.add_network("b" * 64, "plain", Labels={f"{n}": "v" * 9000 for n in range(500)})
        engine.add_network("c" * 64, "last", Labels={"weft.network": "\u202e" * 9})
        async with engine.served(docker.settings.docker_socket):
            async with asyncio.timeout(10):
                while any(name.startswith("docker-") for name in names(docker)):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert {"plain", "last"} < set(names(docker))
        for kind in (Network, Subnet, Port, Binding):
            for record in docker.store.list(kind):
                assert codec.decode(record.KIND, codec.encode(record)) == record
        made = next(n for n in docker.control.networks.list() if n.name == "plain")
        assert ("docker-id", "b" * 64) in made.labels


def names(docker: Any) -> list[str]:
    return [network.name for network in docker.control.networks.list()]


@pytest.mark.parametrize(
    "options",
    [
        {"mtu": "9" * 400},
        {"mtu": "-1"},
        {"mtu": "1e3"},
        {"exclude": ",".join(f"10.{n % 250}.{n // 250}.1" for n in range(5000))},
        {"exclude": "192.168.1.9-" * 5000},
        {"exclude": "0.0.0.0/0"},
        {"name": "\x1b[2J"},
        {"name": "../../etc/passwd"},
        {"network": "x" * 100_000},
        {"network": "\x00"},
        {"\x1b[2J": "x"},
        {"x" * 100_000: "y"},
        {"multicast": "\n"},
        {"force": "\u202e"},
        {"com.docker.network.driver.mtu": "huge"},
    ],
    ids=lambda options: ascii(options)[:40],
)
async def test_a_hostile_option_is_refused_in_few_words_and_leaves_nothing(
    options: dict[str, str],
) -> None:
    async with plugin() as docker:
        answer = await docker.create_network(NETWORK, **options)  # type: ignore[arg-type]
        assert answer["Err"] and "its log says why" not in answer["Err"]
        assert len(answer["Err"]) < 1000
        assert answer["Err"].replace("\n", "").isprintable()
        assert docker.records() == {}
