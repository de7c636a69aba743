"""What is said to the kernel's WireGuard and to wireguard-go, and how their answers are read."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import InvalidError, KernelError, UnavailableError
from weft.kernel.wireguard import key_file
from weft.kernel.wireguard.generic_netlink import parse_device, set_device
from weft.kernel.wireguard.key_file import KeyPair
from weft.kernel.wireguard.state import DeviceChange, DeviceState, Endpoint, Peer, PeerSetting
from weft.kernel.wireguard.uapi import UapiWireGuard, decode_state, encode_change
from weft.model.addresses import ip_network

A, B = bytes(range(32)), bytes(range(32, 64))
GENL_HEADER = 4

keys = st.binary(min_size=32, max_size=32).filter(any)
ports = st.integers(1, 65535)
endpoints = st.builds(Endpoint, st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), ports)
prefixes = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(ip_network)
settings_of_peers = st.lists(
    st.builds(
        PeerSetting,
        public_key=keys,
        endpoint=st.one_of(st.none(), endpoints),
        allowed=st.frozensets(prefixes, max_size=3),
        keepalive_s=st.integers(0, 65535),
    ),
    max_size=5,
    unique_by=lambda peer: peer.public_key,
)


def as_state(key: bytes, port: int, peers: list[PeerSetting]) -> DeviceState:
    """What a device holds once it has been told so."""
    return DeviceState(
        key,
        port,
        {
            each.public_key: Peer(each.endpoint, each.allowed, each.keepalive_s, 0.0)
            for each in peers
        },
    )


@given(keys, ports, settings_of_peers)
def test_kernel_is_told_in_the_form_in_which_it_answers(
    key: bytes, port: int, peers: list[PeerSetting]
) -> None:
    requests = set_device(30, "weftwg", DeviceChange(private_key=key, port=port, peers=peers))

    assert parse_device(request.body for request in requests) == as_state(key, port, peers)


def test_kernel_gets_many_peers_in_messages_that_it_can_take() -> None:
    peers = [
        PeerSetting(number.to_bytes(32, "big"), None, frozenset(), 25) for number in range(1000)
    ]

    requests = set_device(30, "weftwg", DeviceChange(private_key=A, port=7, peers=peers))

    assert all(len(request.body) < 1 << 16 for request in requests)
    assert parse_device(request.body for request in requests) == as_state(A, 7, peers)


def test_kernel_is_told_of_a_removed_peer_by_its_flag() -> None:
    (request,) = set_device(30, "weftwg", DeviceChange(removed=[A]))

    assert request.body[:GENL_HEADER] == struct.pack("=BBH", 1, 1, 0)
    assert struct.pack("=HHI", 8, 3, 1) in request.body


def test_kernel_may_go_on_with_a_peer_in_the_next_message() -> None:
    halves = [
        PeerSetting(A, Endpoint(IPv4Address("192.0.2.1"), 5), frozenset({ip_network(prefix)}), 25)
        for prefix in ("fd00::1/128", "fd00::2/128")
    ]
    bodies = [set_device(30, "weftwg", DeviceChange(peers=[half]))[0].body for half in halves]

    (peer,) = parse_device(bodies).peers.values()

    assert peer.allowed == {ip_network("fd00::1/128"), ip_network("fd00::2/128")}


@given(keys, ports, settings_of_peers)
def test_wireguard_go_is_told_in_the_form_in_which_it_answers(
    key: bytes, port: int, peers: list[PeerSetting]
) -> None:
    change = DeviceChange(private_key=key, port=port, peers=peers)

    assert decode_state(encode_change(change)) == as_state(key, port, peers)


def test_wireguard_go_is_told_line_by_line() -> None:
    peer = PeerSetting(
        B, Endpoint(IPv6Address("fd00::9"), 6784), frozenset({ip_network("fd77::1/128")}), 25
    )

    assert encode_change(DeviceChange(port=6784, removed=[A], peers=[peer])) == (
        f"set=1\nlisten_port=6784\npublic_key={A.hex()}\nremove=true\npublic_key={B.hex()}\n"
        "endpoint=[fd00::9]:6784\npersistent_keepalive_interval=25\nreplace_allowed_ips=true\n"
        "allowed_ip=fd77::1/128\n\n"
    )


def test_wireguard_go_tells_when_it_last_shook_hands() -> None:
    answer = (
        f"private_key={A.hex()}\nlisten_port=6784\npublic_key={B.hex()}\npreshared_key={'0' * 64}\n"
        "protocol_version=1\nendpoint=192.0.2.7:6784\nlast_handshake_time_sec=100\n"
        "last_handshake_time_nsec=500000000\ntx_bytes=3\nrx_bytes=4\n"
        "persistent_keepalive_interval=25\nallowed_ip=fd77::1/128\n"
    )

    state = decode_state(answer)

    assert state == DeviceState(
        A,
        6784,
        {
            B: Peer(
                Endpoint(IPv4Address("192.0.2.7"), 6784),
                frozenset({ip_network("fd77::1/128")}),
                25,
                100.5,
                4,
                3,
            )
        },
    )


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "uapi.sock"))
        listening.listen()
        yield listening


def answering(listener: socket.socket, answer: bytes) -> threading.Thread:
    """Answers one request so."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_refusal_of_wireguard_go_is_an_error_with_its_number(
    listener: socket.socket, tmp_path: Path
) -> None:
    thread = answering(listener, b"errno=-98\n\n")

    with pytest.raises(KernelError, match="set up WireGuard device weftwg: Address already in use"):
        UapiWireGuard("weftwg", tmp_path / "uapi.sock").write(DeviceChange(port=1))
    thread.join()


def test_wireguard_go_that_ends_in_the_middle_is_said_so(
    listener: socket.socket, tmp_path: Path
) -> None:
    thread = answering(listener, b"listen_port=1\n")

    with pytest.raises(UnavailableError, match="has ended"):
        UapiWireGuard("weftwg", tmp_path / "uapi.sock").read()
    thread.join()


def test_wireguard_go_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    device = UapiWireGuard("weftwg", tmp_path / "uapi.sock")

    assert device.pid() is None
    with pytest.raises(UnavailableError, match="No such file"):
        device.read()


def test_a_folder_too_deep_for_a_sockets_address_does_not_matter(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        with contextlib.chdir(folder):
            listening.bind("uapi.sock")
        listening.listen()
        thread = answering(listening, b"listen_port=7\nerrno=0\n\n")

        assert UapiWireGuard("weftwg", folder / "uapi.sock").read().port == 7
        thread.join()


def test_keys_never_show_the_private_one(tmp_path: Path) -> None:
    pair = KeyPair(private_key=A, public_key=key_file.text(B), made_s=1.0)
    file = tmp_path / "cluster" / "wireguard.json"
    file.parent.mkdir()
    file.write_text('{"private_key": "AAEC"}')

    assert key_file.text(A) not in f"{pair} {pair!r}"
    with pytest.raises(InvalidError) as caught:
        key_file.read(tmp_path)
    assert "AAEC" not in str(caught.value)
    assert caught.value.__cause__ is None
