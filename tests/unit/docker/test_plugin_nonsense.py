"""Well-typed and ill-typed nonsense: an answer each time, never a failure of weftd's own."""

from __future__ import annotations

import random

import msgspec

from tests.unit.docker.plugin import ENDPOINT, NETWORK, Plugin, plugin

TEXTS = (
    "",
    " ",
    "x",
    "\u0000",
    "ü" * 300,
    "10.1.0.0/24",
    "10.1.0.1/24",
    "10.1.0.5",
    "10.1.0.300/24",
    "10.1.0.0/99",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "::/0",
    "fd00::/64",
    "fd00::5/64",
    "fe80::1%eth0/64",
    "02:00:00:00:00:01",
    "ff:ff:ff:ff:ff:ff",
    "../../etc/passwd",
    "weft",
    NETWORK,
    ENDPOINT,
)
VALUES: tuple[object, ...] = (
    *TEXTS,
    None,
    True,
    0,
    -1,
    1 << 70,
    1.5,
    [],
    {},
    [{}],
    [None],
    {"x": {"y": []}},
    {"com.docker.network.generic": {"mtu": "1400", "exclude": "10.1.0.9"}},
    {"com.docker.network.generic": ["mtu"]},
    {"com.docker.network.internal": "perhaps"},
    {"com.docker.network.portmap": [{"Proto": 6, "Port": 80, "HostPort": 9, "HostPortEnd": 3}]},
    {"com.docker.network.portmap": [{"Proto": 1, "Port": 80}]},
    {"com.docker.network.portmap": [{"Proto": 6, "Port": 80, "HostIP": "x"}]},
    {"RequestAddressType": "com.docker.network.gateway"},
    {"Address": "10.1.0.7/24", "MacAddress": "zz"},
    {"Address": "10.1.0.7/24", "AddressIPv6": "10.1.0.8/24"},
    [{"AddressSpace": "weft", "Pool": "10.1.0.0/24", "Gateway": "10.1.0.1/24"}],
    [{"AddressSpace": "x", "Pool": "10.2.0.0/24", "AuxAddresses": {"a": "b"}}],
    [{"Pool": "10.3.0.0/24"}, {"Pool": "10.3.0.0/24"}],
    [{"Pool": "10.4.0.0/31", "Gateway": "10.4.0.0/31"}, {"Pool": "fd00::/128"}],
)
FIELDS = (
    "NetworkID",
    "EndpointID",
    "Options",
    "IPv4Data",
    "IPv6Data",
    "Interface",
    "SandboxKey",
    "AddressSpace",
    "Pool",
    "SubPool",
    "PoolID",
    "Address",
    "V6",
    "DiscoveryType",
    "DiscoveryData",
)


def request_of(random_: random.Random) -> dict[str, object]:
    request = {name: random_.choice(VALUES) for name in FIELDS if random_.random() < 0.5}
    for name, value in (("NetworkID", NETWORK), ("EndpointID", ENDPOINT)):
        if random_.random() < 0.8:
            request[name] = value
    return request


async def talk_nonsense(docker: Plugin, seed: int) -> None:
    random_ = random.Random(seed)
    methods = [name for name in docker.frontend._server._methods if name != "Plugin.Activate"]
    for number in range(400):
        method, request = random_.choice(methods), request_of(random_)
        answer = await docker.call(method, request)
        said = str(answer.get("Err", ""))
        assert "its log says why" not in said, (
            f"{number}: {method} {msgspec.json.encode(request)!r}"
        )
        assert not said or len(said) > 15


async def test_nonsense_is_answered() -> None:
    for seed in range(5):
        async with plugin() as docker:
            await docker.create_network()
            await docker.create_endpoint()
            await talk_nonsense(docker, seed)
            assert await docker.call("Plugin.Activate")
