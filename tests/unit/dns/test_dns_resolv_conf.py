from __future__ import annotations

import os
from pathlib import Path

import pytest

from weft.dns.resolv_conf import DOCKER_DEFAULTS, ResolvConf, parse
from weft.model.addresses import ip_address
from weft.model.service_addresses import DNS4

MAPPED, MAPPED_LOOPBACK = (str(ip_address(f"::ffff:{each}")) for each in ("192.0.2.1", "127.0.0.1"))


def texts(addresses: object) -> list[str]:
    return [str(address) for address in addresses]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nameserver 192.0.2.1\n", ["192.0.2.1"]),
        ("  nameserver\t192.0.2.1  extra\nnameserver 2001:db8::1\n", ["192.0.2.1", "2001:db8::1"]),
        ("nameserver 192.0.2.1\nnameserver 192.0.2.1\n", ["192.0.2.1"]),
        ("# nameserver 192.0.2.1\n;nameserver 192.0.2.2\nsearch a b\nnameserver\n", []),
        ("nameserver example.org\nnameservers 192.0.2.1\nnameserver 192.0.2.9", ["192.0.2.9"]),
        ("", []),
    ],
)
def test_name_servers_are_read_as_libc_reads_them(text: str, expected: list[str]) -> None:
    assert texts(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "servers", "intercepted"),
    [
        ("nameserver 192.0.2.1", ["192.0.2.1"], ["192.0.2.1"]),
        ("nameserver 127.0.0.1\nnameserver 192.0.2.1", ["127.0.0.1", "192.0.2.1"], ["192.0.2.1"]),
        ("nameserver 127.0.0.53", ["127.0.0.53"], ["192.0.2.53"]),
        ("nameserver 127.0.0.1", ["127.0.0.1"], texts(DOCKER_DEFAULTS)),
        ("", ["127.0.0.1"], texts(DOCKER_DEFAULTS)),
        (f"nameserver {DNS4}\nnameserver 192.0.2.1", ["192.0.2.1"], [str(DNS4), "192.0.2.1"]),
        (f"nameserver {DNS4}", [], [str(DNS4)]),
        ("nameserver 169.254.169.254", ["169.254.169.254"], ["169.254.169.254"]),
        ("nameserver fe80::1%eth0", ["fe80::1%eth0"], texts(DOCKER_DEFAULTS)),
        ("nameserver 2001:db8::1%eth0", ["2001:db8::1%eth0"], ["2001:db8::1"]),
        ("nameserver ::ffff:192.0.2.1", [MAPPED], ["192.0.2.1"]),
        ("nameserver ::ffff:127.0.0.1", [MAPPED_LOOPBACK], texts(DOCKER_DEFAULTS)),
        ("nameserver 224.0.0.251\nnameserver ::", ["224.0.0.251", "::"], texts(DOCKER_DEFAULTS)),
    ],
)
def test_whom_to_ask_and_whom_workloads_ask(
    tmp_path: Path, text: str, servers: list[str], intercepted: list[str]
) -> None:
    path, behind = tmp_path / "resolv.conf", tmp_path / "systemd.conf"
    path.write_text(text)
    behind.write_text("nameserver 192.0.2.53\n")
    conf = ResolvConf(path, [DNS4], behind)
    assert texts(conf.servers) == servers
    assert texts(conf.intercepted) == intercepted


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"dns": ["192.0.2.7", "2001:db8::7"]}', ["192.0.2.7", "2001:db8::7"]),
        ('{"dns": ["127.0.0.1", "192.0.2.7", "x", 7, null]}', ["192.0.2.7"]),
        ('{"dns": "192.0.2.7"}', []),
        ('{"dns": ["192.0.2.7\\nnameserver 192.0.2.8"]}', ["192.0.2.7", "192.0.2.8"]),
        ("{}", []),
        ("[]", []),
        ("nonsense", []),
        ("[" * 100_000, []),
    ],
)
def test_resolvers_that_docker_is_told_of_are_asked_by_workloads_too(
    tmp_path: Path, text: str, named: list[str]
) -> None:
    path, config = tmp_path / "resolv.conf", tmp_path / "daemon.json"
    path.write_text("nameserver 2001:db8::1\n")
    conf = ResolvConf(path, [], tmp_path / "none", config)
    assert texts(conf.intercepted) == ["2001:db8::1"]
    config.write_text(text)
    assert conf.refresh() == bool(named)
    assert texts(conf.intercepted) == [*named, "2001:db8::1"]
    assert texts(conf.servers) == ["2001:db8::1"]


def test_changes_are_seen_and_only_changes(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    conf = ResolvConf(path, [], tmp_path / "none")
    assert texts(conf.servers) == ["127.0.0.1"]
    path.write_text("nameserver 192.0.2.1\n")
    assert conf.refresh()
    assert texts(conf.servers) == ["192.0.2.1"]
    assert not conf.refresh()
    replacement = tmp_path / "new"
    replacement.write_text("nameserver 192.0.2.2\n")
    replacement.replace(path)
    assert conf.refresh()
    assert conf.servers == (ip_address("192.0.2.2"),)
    os.utime(path, ns=(1, 1))
    assert not conf.refresh()  # the same list, written again
    path.unlink()
    assert conf.refresh()


def test_binary_rubbish_lists_nothing(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_bytes(bytes(range(256)) * 10)
    assert texts(ResolvConf(path, [], tmp_path / "none").servers) == ["127.0.0.1"]
