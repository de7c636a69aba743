"""Labels of containers become those of their ports, and name their security groups."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.docker.dockerd_world import World
from weft.control.group_specs import GroupChanges, GroupSpec
from weft.control.specs import PortChanges
from weft.errors import InvalidError, NotFoundError, UnavailableError
from weft.frontends.docker import protocol
from weft.frontends.docker.answers import (
    ContainerConfig,
    ContainerFacts,
    ContainerNetworks,
    ContainerState,
    EndpointFacts,
    ImageFacts,
)
from weft.frontends.docker.awaited_names import AwaitedNames
from weft.frontends.docker.endpoints import EndpointCalls
from weft.frontends.docker.names import MAX_PORT_LABELS, port_labels
from weft.frontends.docker.published import HostPorts
from weft.frontends.docker.reconcile.grouping import SOURCE
from weft.model.codec import decode, encode
from weft.model.records import Port

NETWORK, ENDPOINT, CONTAINER = "a" * 64, "e" * 64, "c" * 64
IMAGE = "sha256:1"
SUBNET = protocol.Pool(address_space="LocalDefault", pool="10.1.0.0/24", gateway="10.1.0.1/24")


class Host(World):
    """A host with a network, and containers on it."""

    async def network(self, **options: str) -> None:
        await self.networks.create(
            protocol.CreateNetwork(
                network=NETWORK, options={protocol.GENERIC: options}, ipv4=[SUBNET]
            )
        )
        self.docker.add(NETWORK, "foo")
        await self.look()

    async def endpoint(self, **options: str) -> None:
        """docker run, as far as the plugin sees it."""
        calls = EndpointCalls(
            self.state, AwaitedNames(self.state.records), HostPorts(self.state, lambda _: None)
        )
        given = {
            key.replace("_", "."): msgspec.Raw(json.dumps(text).encode())
            for key, text in options.items()
        }
        await calls.create(
            protocol.CreateEndpoint(network=NETWORK, endpoint=ENDPOINT, options=given)
        )

    async def container(
        self,
        labels: Mapping[str, str],
        *,
        of_image: Mapping[str, str] | None = MappingProxyType({}),
        options: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """docker run, with what Docker says of the container afterwards."""
        await self.endpoint(**{key.replace(".", "_"): value for key, value in options.items()})
        place = EndpointFacts(network=NETWORK, endpoint=ENDPOINT, driver_opts=dict(options))
        if of_image is not None:
            self.docker.images[IMAGE] = dict(of_image)
        self.docker.run[CONTAINER] = ContainerFacts(
            id=CONTAINER,
            name="/web",
            image=IMAGE,
            config=ContainerConfig(labels={**(of_image or {}), **labels}),
            state=ContainerState(status="running"),
            networks=ContainerNetworks(networks={"foo": place}),
        )
        self.docker.put(NETWORK, CONTAINER, ENDPOINT, "web")
        await self.looks.at_container(self.docker, CONTAINER)

    async def group(self, name: str, tenant: str = "default", **facts: str) -> None:
        await self.control.groups.create(GroupSpec(name=name, tenant=tenant, **facts))  # type: ignore[arg-type]

    @property
    def port(self) -> Port:
        (found,) = self.state.records.ports()
        return found

    @property
    def groups(self) -> list[str]:
        found = (self.control.groups.find(id) for id in self.port.groups)
        return sorted(group.name for group in found)

    @property
    def notices(self) -> list[str]:
        standing = self.control.notices.standing
        return [notice.reason for (source, _), notice in standing.items() if source == SOURCE]


@pytest.fixture
async def host() -> Host:
    made = Host()
    await made.network()
    return made


async def test_labels_become_the_ports(host: Host) -> None:
    await host.container({"app": "shop", "com.docker.compose.service": "web"})
    assert host.port.labels == (("app", "shop"), ("com.docker.compose.service", "web"))
    assert host.port.names == ("web",)
    assert not await host.left()


async def test_labels_of_the_image_do_not_count(host: Host) -> None:
    await host.group("admin")
    of_image = {"weft.groups": "admin", "app": "shop", "vendor": "x"}
    await host.container({"app": "store", "zone": "a"}, of_image=of_image)
    assert host.port.labels == (("app", "store"), ("zone", "a"))
    assert host.port.groups == ()


async def test_a_container_without_labels_is_asked_for_no_image(host: Host) -> None:
    await host.container({})
    assert host.docker.asked == []
    assert host.port.names == ("web",)


async def test_names_are_learnt_where_the_image_is_not(host: Host) -> None:
    await host.container({"app": "shop"}, of_image=None)
    assert (host.port.names, host.port.labels) == (("web",), ())

    async def image(id: str) -> ImageFacts | None:
        raise UnavailableError("docker is away")

    real, host.docker.image = host.docker.image, image  # type: ignore[method-assign]
    await host.looks.at_container(host.docker, CONTAINER)
    assert host.port.labels == ()
    host.docker.image = real  # type: ignore[method-assign]
    host.docker.images[IMAGE] = {}
    await host.looks.at_container(host.docker, CONTAINER)
    assert dict(host.port.labels) == {"app": "shop"}


async def test_a_label_names_groups(host: Host) -> None:
    for name in ("web", "admin"):
        await host.group(name)
    await host.container({"weft.groups": "web, admin,web"})
    assert host.groups == ["admin", "web"]
    assert host.notices == []


async def test_a_group_that_is_not_there_is_told_and_found_when_it_comes(host: Host) -> None:
    await host.group("web")
    await host.container({"weft.groups": "web,admin"})
    assert host.groups == ["web"]
    (notice,) = host.notices
    assert "is not in every group that its label weft.groups names" in notice
    assert "group admin: not found" in notice
    await host.group("admin")
    await host.looks.at_list(host.docker)
    assert host.groups == ["admin", "web"]
    assert host.notices == []


async def test_a_notice_goes_with_its_port(host: Host) -> None:
    await host.container({"weft.groups": "admin"})
    assert len(host.notices) == 1
    await host.control.ports.remove(host.port.id)
    await host.looks.at_list(host.docker)
    assert host.notices == []


async def test_groups_are_those_of_the_networks_tenant() -> None:
    host = Host()
    await host.network(**{"weft.tenant": "acme"})
    assert host.control.networks.find("acme/foo").tenant_id == host.control.tenants.find("acme").id
    for tenant in ("acme", "default"):
        await host.group("web", tenant)
    await host.container({"weft.groups": "web"})
    assert host.port.groups == (host.control.groups.find("acme/web").id,)


async def test_a_driver_option_names_groups_before_the_container_starts(host: Host) -> None:
    for name in ("web", "admin"):
        await host.group(name)
    await host.endpoint(weft_groups="web")
    assert host.groups == ["web"]
    await host.container({"weft.groups": "admin", "a": "b"}, options={"weft.groups": "web"})
    assert host.groups == ["web"]
    assert host.port.labels == (("a", "b"), ("weft.groups", "web"))


async def test_a_group_of_a_driver_option_that_is_not_there_is_said_to_docker(host: Host) -> None:
    with pytest.raises(NotFoundError, match="group wbe: not found"):
        await host.endpoint(weft_groups="wbe")
    assert not tuple(host.state.records.ports())


async def test_a_driver_option_admits_the_host_and_no_label_does(host: Host) -> None:
    await host.container({"weft.admit-host": "true"})
    assert not host.port.admits_host
    await host.control.ports.remove(host.port.id)
    await host.container({}, options={"weft.admit-host": "true"})
    assert host.port.admits_host


async def test_an_option_that_is_no_yes_and_no_no_is_said_to_docker(host: Host) -> None:
    with pytest.raises(InvalidError, match="say true or false"):
        await host.container({}, options={"weft.admit-host": "perhaps"})
    assert not tuple(host.state.records.ports())


@pytest.mark.parametrize("prefix", ["", "weft."])
async def test_options_of_a_network_about_what_no_rule_stops(prefix: str) -> None:
    host = Host()
    await host.network(**{f"{prefix}judge-dns": "true", f"{prefix}admit-host": "yes"})
    (network,) = host.control.networks.list()
    assert (network.judges_dns, network.admits_host) == (True, True)


async def test_labels_select_members(host: Host) -> None:
    await host.group("shop", selector="app=shop")
    await host.container({"app": "shop"})
    assert host.port.groups == ()
    await host.control.groups.change("shop", GroupChanges(name="store"))
    assert not await host.left()


async def test_what_docker_says_is_not_changed_elsewhere(host: Host) -> None:
    await host.group("web")
    await host.container({"app": "shop"})
    with pytest.raises(InvalidError, match="port web: docker says its labels"):
        await host.control.ports.change("web", PortChanges(labels={}))
    await host.control.ports.change("web", PortChanges(groups=("web",)))
    await host.look()
    assert host.groups == ["web"]
    await host.control.ports.update(host.port.id, labels=(("weft.groups", "web"),))
    with pytest.raises(InvalidError, match=r"those of its label weft\.groups"):
        await host.control.ports.change("web", PortChanges(groups=()))


@given(labels=st.dictionaries(st.text(max_size=20), st.text(max_size=2000), max_size=90))
def test_whatever_labels_a_container_has_a_record_holds_some(labels: dict[str, str]) -> None:
    found = port_labels(labels)
    assert len(found) <= MAX_PORT_LABELS
    assert found.items() <= labels.items()
    port = Port(
        id="p",  # type: ignore[arg-type]
        network_id="n",  # type: ignore[arg-type]
        mac="02:00:00:00:00:01",  # type: ignore[arg-type]
        owner={"frontend": "docker"},  # type: ignore[arg-type]
        labels=tuple(sorted(found.items())),
    )
    assert decode("port", encode(port)).labels == port.labels  # type: ignore[attr-defined]


def test_wefts_own_labels_come_first() -> None:
    many = {f"a{number:03}": "x" * 1000 for number in range(100)}
    found = port_labels({**many, "weft.groups": "web", "long": "x" * 2000})
    assert next(iter(found)) == "weft.groups"
    assert "long" not in found
    assert len(found) < 20
