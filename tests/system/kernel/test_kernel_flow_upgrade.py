"""A release in which an entry of a flow has another layout takes over the connections of the last
one: they go on under rules that would not let them through from their middle."""

from __future__ import annotations

import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.system.kernel.conftest import PATIENCE
from tests.system.kernel.test_kernel_sink import FOO, Rows, port, rows_of, settle
from weft.config import Settings
from weft.engine.ebpf import sink as sink_module
from weft.engine.ebpf.sink import Sink
from weft.kernel import netns
from weft.kernel.bpf.handover import Converter, Entry
from weft.kernel.bpf.libbpf import Object
from weft.kernel.bpf.maps import BpfMap
from weft.kernel.bpf.programs import DataPlane, HostDevices
from weft.model.choices import Action, Direction, PeerKind
from weft.model.ids import GroupId, RuleId
from weft.model.records import Peer, SecurityGroup, SecurityRule

pytestmark = [
    pytest.mark.root,
    pytest.mark.usefixtures("addresses"),
    pytest.mark.timeout(400 * PATIENCE),  # it builds the programs
]

BPF = Path(__file__).parents[3] / "bpf"
RENAMED = ("flows4", "flows6", "inquiries")
"""Maps in which there are entries of flows."""
ADDED = 24
"""Bytes in front of all others."""
STRICT = replace(FOO, denied=(Direction.EGRESS, Direction.INGRESS), is_strict=True)
GROUP = GroupId("00000000-0000-4000-8000-000000000011")
ADDRESSES = {4: "10.5.0.3", 6: "fd05::3"}


def rule(number: int, direction: Direction, first_port: int) -> SecurityRule:
    return SecurityRule(
        id=RuleId(f"00000000-0000-4000-8000-00000000002{number}"),
        group_id=GROUP,
        direction=direction,
        action=Action.ALLOW,
        protocol=6,
        first_port=first_port,
        last_port=first_port,
        peer=Peer(kind=PeerKind.ANY),
    )


RULES = (
    SecurityGroup(id=GROUP, name="web"),
    rule(1, Direction.INGRESS, 80),
    rule(2, Direction.EGRESS, 80),
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of the next release: built from the same programs, with other entries."""
    folder = tmp_path_factory.mktemp("next")
    source = shutil.copytree(BPF, folder / "bpf")
    for file in (*source.glob("*.h"), *source.glob("*.c"), *source.glob("lib/*.h")):
        text = file.read_text()
        for name in RENAMED:
            text = text.replace(f"{name}_v1", f"{name}_v2")
        file.write_text(text)
    layout = source / "abi_flows.h"
    text, count = re.subn(
        r"(struct flow \{\n)", rf"\1	__u8 added[{ADDED}];\n", layout.read_text()
    )
    assert count == 1
    layout.write_text(text)
    made = folder / "objects"
    done = subprocess.run(
        ["make", "-C", source, f"OBJECTS={made}"],
        capture_output=True,
        text=True,
        timeout=300 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return made


def converted(key: bytes, value: bytes) -> Entry | None:
    return key, bytes(ADDED) + value


CONVERTERS = {f"{name}_v2": Converter(f"{name}_v1", converted) for name in ("flows4", "flows6")}


class Next(dict[str, BpfMap]):
    """Maps of the next release, which this weftd finds by the names that it knows."""

    def __missing__(self, name: str) -> BpfMap:
        later = name.replace("_v1", "_v2")
        if later == name:
            raise KeyError(name)
        return self[later]


Upgrade = Callable[[Mapping[str, Converter]], Sink]


@pytest.fixture
def upgrade(
    sink: Sink, settings: Settings, objects: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Upgrade]:
    """Begins the next release beside what is there, with these converters."""

    def begin(converters: Mapping[str, Converter]) -> Sink:
        class NextPlane(DataPlane):
            @classmethod
            def load(cls, bpffs_dir: Path, devices: HostDevices) -> DataPlane:  # type: ignore[override]
                plane = DataPlane.load(bpffs_dir, devices, objects, converters)
                plane.maps = Next(plane.maps)
                return plane

        # Its Python has the layouts of its programs.
        patch.setattr(Object, "check_layouts", lambda _: None)
        patch.setattr(sink_module, "DataPlane", NextPlane)
        made = Sink(settings)
        made.start()
        return made

    with monkeypatch.context() as patch:
        yield begin


class Connections:
    """Established, in both families: what one end sends comes back from the other."""

    def __init__(self, client: str, server: str) -> None:
        self._stack = ExitStack()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        for version, address in ADDRESSES.items():
            family = socket.AF_INET if version == 4 else socket.AF_INET6
            with netns.entered(server):
                door = self._open(socket.create_server((address, 80), family=family))
            with netns.entered(client):
                near = self._open(socket.create_connection((address, 80), 5 * PATIENCE))
            far = self._open(door.accept()[0])
            for each in (near, far):
                each.settimeout(0.5 * PATIENCE)
            self._pairs.append((near, far))

    def _open(self, made: socket.socket) -> socket.socket:
        return self._stack.enter_context(made)

    def go_on(self) -> bool:
        """Whether all of them carry data, both ways."""
        return all(_carries(*pair) and _carries(*pair[::-1]) for pair in self._pairs)

    def close(self) -> None:
        self._stack.close()


def _carries(one: socket.socket, other: socket.socket) -> bool:
    one.sendall(b"x" * 3000)
    left = 3000
    try:
        while left:
            left -= len(other.recv(left))
    except TimeoutError:
        return False
    return True


@pytest.fixture
def desired(new_netns: Callable[[], str]) -> tuple[Rows, str, str]:
    client, server = new_netns(), new_netns()
    ports = (
        port(number, path=path, groups=(GROUP,)) for number, path in ((1, client), (2, server))
    )
    return rows_of(STRICT, *ports, *RULES), client, server


@pytest.fixture
def connections(sink: Sink, desired: tuple[Rows, str, str]) -> Iterator[Connections]:
    rows, client, server = desired
    settle(sink, rows)
    made = Connections(client, server)
    yield made
    made.close()


def test_connections_go_on_when_a_release_has_other_entries(
    connections: Connections, upgrade: Upgrade, desired: tuple[Rows, str, str], settings: Settings
) -> None:
    assert connections.go_on()
    bpffs = Path(settings.bpffs_dir) / "maps"
    with BpfMap.open(bpffs / "flows4_v1") as each:
        before = each.read()
    release = upgrade(CONVERTERS)
    settle(release, desired[0])
    assert connections.go_on()
    with BpfMap.open(bpffs / "flows4_v2") as each:
        after = each.read()
    assert after.keys() >= before.keys()
    assert all(counted(after[key][ADDED:]) > counted(before[key]) for key in before)
    assert not (bpffs / "flows4_v1").exists()
    assert connections.go_on()
    release.stop()
    assert connections.go_on(), "without weftd"


def counted(value: bytes) -> int:
    """Packets of an entry in the layout of this release."""
    number: int = struct.unpack_from("<Q", value, 8)[0]
    return number


def test_without_a_converter_they_would_not(
    connections: Connections, upgrade: Upgrade, desired: tuple[Rows, str, str]
) -> None:
    """So it is the entries that let them go on, and neither the rules nor chance."""
    release = upgrade({})
    settle(release, desired[0])
    assert not connections.go_on()
    release.stop()
