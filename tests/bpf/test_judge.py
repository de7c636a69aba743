"""What rules say, in the kernel and looked at one by one: thousands of decisions agree."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.bpf.rules import (
    EGRESS,
    INGRESS,
    PROTOCOLS,
    TENANT,
    Cidr,
    Decision,
    Group,
    Model,
    Rule,
    addresses_of,
    random_model,
)
from tests.bpf.world import ANN, BOB, CYD, EVE, HOST4, RED, RESOLVER4, World, host_devices
from weft.engine.ebpf.map_table import encode_address
from weft.engine.ebpf.policy.identities import MOST_ATOMS
from weft.engine.ebpf.policy.points import EVERYTHING, icmp, point, stretch
from weft.kernel.bpf import layouts, programs, syscall
from weft.kernel.bpf.layouts import Best, Direction, RuleAction, RulesFlag, Tier
from weft.kernel.bpf.libbpf import Object
from weft.model.addresses import IPAddress, link_local_from_mac
from weft.model.service_addresses import GATEWAY_MAC

ROW = 5
NONE = RulesFlag(0)
ALLOW, DROP, PASS = RuleAction.RULE_ALLOW, RuleAction.RULE_DROP, RuleAction.RULE_PASS
_HERE = Path(__file__).parent
_HEADERS = f"/usr/include/{os.uname().machine}-linux-gnu"


class Judge(NamedTuple):
    """The stage by itself."""

    world: World
    fd: int

    def ask(
        self,
        direction: Direction,
        remote: IPAddress,
        at: int,
        *,
        row: int = ROW,
        may_be_host: bool = False,
        may_be_dns: bool = False,
        source_port: int = 0,
    ) -> Decision:
        question = struct.pack("<IIII", row, direction, at, RED) + encode_address(remote)
        question += bytes([at >> 16 & 0xFF, remote.version == 4, may_be_host, may_be_dns])
        question += struct.pack(">H2x", source_port)
        answer = syscall.run_program(self.fd, bytes(14) + question).verdict
        return Decision(
            RuleAction(answer >> Best.BEST_ACTION_SHIFT), answer & Best.BEST_NUMBER_MASK
        )

    def put(
        self, model: Model, subjects: list[int], flags: RulesFlag = NONE, row: int = ROW
    ) -> None:
        """The model's rules, and a port of these subjects."""
        image = model.image(subjects)
        image.add_port(row, subjects, flags, tenant=TENANT)
        identities = model.fill(self.world, image)
        for workload in (ANN, BOB, CYD, EVE):
            for address in addresses_of(workload):
                groups = frozenset(model.groups.get(address, ()))
                endpoint = self.world.endpoint(workload)
                group = identities.get(groups, 0) if address in model.groups else 0
                self.world.add_address(RED, str(address), endpoint._replace(group=group))


@pytest.fixture(scope="session")
def program(loaded: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """On the maps of the others."""
    file = tmp_path_factory.mktemp("judge") / "judge.o"
    options = ["-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall", "-Wextra", "-Werror"]
    compiler = [os.environ.get("CLANG", "clang"), *options, f"-I{_HEADERS}"]
    subprocess.run([*compiler, "-c", _HERE / "judge.bpf.c", "-o", file], check=True)
    constants = programs._constants(file, host_devices(loaded.ifindexes))
    with Object(file) as source:
        for name, each in source.maps.items():
            if name in loaded.plane.maps:
                each.reuse(loaded.plane.maps[name].fd)
        if ".rodata.weft" in source.maps:
            source.maps[".rodata.weft"].set_initial(constants.encode())
        source.load()
        fd = source.duplicate_program_fd("ask_judge")
    yield fd
    os.close(fd)


@pytest.fixture
def judge(world: World, program: int) -> Judge:
    return Judge(world, program)


TCP80, TCP81 = point(4, 6, 80), point(4, 6, 81)
HTTP = stretch(4, 6, range(80, 81))
Bob = addresses_of(BOB)[0]


@pytest.mark.parametrize("direction", list(Direction))
def test_what_no_rule_decides_is_the_ports_own_default(judge: Judge, direction: Direction) -> None:
    allows = RulesFlag.RULES_ALLOW_INGRESS, RulesFlag.RULES_ALLOW_EGRESS
    judge.put(Model(), [1, 2])
    assert judge.ask(direction, Bob, TCP80) == (DROP, 0)
    judge.put(Model(), [1, 2], allows[1 - direction])
    assert judge.ask(direction, Bob, TCP80) == (DROP, 0)
    judge.put(Model(), [1, 2], allows[direction])
    assert judge.ask(direction, Bob, TCP80) == (ALLOW, 0)


def test_a_port_without_a_row_is_let_in_to_by_nobody(judge: Judge) -> None:
    for row in (0, 77, 2**32 - 1):
        assert judge.ask(INGRESS, Bob, TCP80, row=row) == (DROP, 0)


def test_a_rule_about_a_group_and_a_port(judge: Judge) -> None:
    model = Model()
    model.groups[Bob] = {3}
    model.rules.append(Rule(9, 1, INGRESS, Group(3), ALLOW, (HTTP,)))
    judge.put(model, [1])
    assert judge.ask(INGRESS, Bob, TCP80) == (ALLOW, 9)
    assert judge.ask(INGRESS, Bob, TCP81) == (DROP, 0)
    assert judge.ask(EGRESS, Bob, TCP80) == (DROP, 0)
    assert judge.ask(INGRESS, addresses_of(ANN)[0], TCP80) == (DROP, 0)
    model.groups[Bob] = {4}
    judge.put(model, [1])
    assert judge.ask(INGRESS, Bob, TCP80) == (DROP, 0)


def test_tiers_are_asked_in_order_and_pass_asks_the_next(judge: Judge) -> None:
    model = Model()
    model.rules = [
        Rule(1, 1, INGRESS, None, PASS, (HTTP,), Tier.TIER_ADMIN, 1),
        Rule(2, 1, INGRESS, None, DROP, (EVERYTHING,), Tier.TIER_ADMIN, 2),
        Rule(3, 2, INGRESS, None, PASS, (EVERYTHING,), Tier.TIER_NORMAL, 7),
        Rule(4, 2, INGRESS, None, ALLOW, (EVERYTHING,), Tier.TIER_BASELINE, 7),
    ]
    judge.put(model, [2, 1])
    assert judge.ask(INGRESS, Bob, TCP80) == (ALLOW, 4)
    assert judge.ask(INGRESS, Bob, TCP81) == (DROP, 2)


def test_a_prefix_less_its_exception(judge: Judge) -> None:
    model = Model()
    world = Cidr(50, ip_network("0.0.0.0/0"), (ip_network("10.0.0.0/8"),))
    model.rules = [Rule(1, 1, EGRESS, world, ALLOW)]
    judge.put(model, [1])
    assert judge.ask(EGRESS, ip_address("198.51.100.7"), TCP80) == (ALLOW, 1)
    assert judge.ask(EGRESS, Bob, TCP80) == (DROP, 0)


@pytest.mark.parametrize("count", [1, 15, 16, 200, MOST_ATOMS])
def test_many_groups_of_one_address(judge: Judge, count: int) -> None:
    """In many rows, and the rule is about the last one."""
    model = Model()
    model.groups[Bob] = set(range(1, count + 1))
    model.rules = [Rule(5, 1, INGRESS, Group(count), ALLOW, (icmp(4, 8),))]
    judge.put(model, [1])
    assert judge.ask(INGRESS, Bob, point(4, 1, 0x0800)) == (ALLOW, 5)
    assert judge.ask(INGRESS, Bob, point(4, 1, 0x0000)) == (DROP, 0)


def test_eight_subjects(judge: Judge) -> None:
    model = Model()
    model.rules = [Rule(number, number, INGRESS, None, ALLOW, (HTTP,)) for number in range(1, 9)]
    for number in range(1, 9):
        judge.put(model, [*([50] * 7), number])
        assert judge.ask(INGRESS, Bob, TCP80) == (ALLOW, number)


def test_another_edition_replaces_all_rules_at_once(judge: Judge) -> None:
    model = Model()
    model.rules = [Rule(1, 1, INGRESS, None, ALLOW)]
    judge.put(model, [1])
    assert judge.ask(INGRESS, Bob, TCP80) == (ALLOW, 1)
    current = layouts.Current(9999).encode()
    judge.world.put("current_v1", struct.pack("<I", 1), current)
    assert judge.ask(INGRESS, Bob, TCP80) == (DROP, 0)


def test_the_host_itself_where_the_port_lets_it(judge: Judge) -> None:
    """From its own place: what has the gateway's address may be what it passes on."""
    host, gateway = ip_address(HOST4), ip_address("10.1.0.1")
    judge.put(Model(), [1], RulesFlag.RULES_ADMIT_HOST)
    assert judge.ask(INGRESS, host, TCP80, may_be_host=True) == (ALLOW, 0)
    assert judge.ask(INGRESS, host, TCP80) == (DROP, 0)
    assert judge.ask(EGRESS, host, TCP80, may_be_host=True) == (DROP, 0)
    for other in (gateway, Bob):
        assert judge.ask(INGRESS, other, TCP80, may_be_host=True) == (DROP, 0)
    judge.put(Model(), [1])
    assert judge.ask(INGRESS, host, TCP80, may_be_host=True) == (DROP, 0)


def test_queries_to_wefts_dns_where_the_port_may_ask(judge: Judge) -> None:
    judge.put(Model(), [1], RulesFlag.RULES_ALLOW_DNS)

    def is_open(direction: Direction, remote: str, at: int, *, may_be_dns: bool = True) -> bool:
        decided = judge.ask(direction, ip_address(remote), at, may_be_dns=may_be_dns)
        return decided == (ALLOW, 0)

    gateway_link_local = str(link_local_from_mac(GATEWAY_MAC))
    for server in (
        "10.1.0.1",
        RESOLVER4,
        "169.254.53.53",
        "fd77:6566:7400::53",
        gateway_link_local,
    ):
        version = ip_address(server).version
        for protocol in (17, 6):
            assert is_open(EGRESS, server, point(version, protocol, 53)), server
        assert not is_open(EGRESS, server, point(version, 17, 54))
        assert not is_open(EGRESS, server, point(version, 132, 53))
        assert not is_open(EGRESS, server, point(version, 17, 53), may_be_dns=False)
        assert not is_open(INGRESS, server, point(version, 17, 53))
    for stranger in (str(Bob), HOST4, "198.51.100.9", "2001:db8::54", BOB.link_local):
        at = point(ip_address(stranger).version, 17, 53)
        assert not is_open(EGRESS, stranger, at), stranger
    judge.put(Model(), [1])
    assert not is_open(EGRESS, RESOLVER4, point(4, 17, 53))


REMOTES = [
    *(address for each in (ANN, BOB, CYD, EVE) for address in addresses_of(each)),
    *map(ip_address, ("10.1.0.1", "10.7.7.7", "198.51.100.9", "2001:db8::1", "fd00:1::99")),
]


def random_point(chance: random.Random, version: int) -> int:
    if chance.random() < 0.2:
        kind = chance.choice([0, 3, 8, 128]) << 8 | chance.choice([0, 0, 3])
        return point(version, 1 if version == 4 else 58, kind)
    ports = [0, 1, 22, 80, 81, 443, 999, 1000, 8000, 8001, 65535]
    return point(version, chance.choice(PROTOCOLS), chance.choice(ports))


@pytest.mark.parametrize("rules", [0, 3, 30, 300])
def test_rules_mean_what_they_say_one_by_one(judge: Judge, rules: int) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    decided = 0
    seen: set[RuleAction] = set()
    for _ in range(6):
        judge.world.fill()
        model = random_model(chance, rules, 6, 12)
        subjects = chance.sample(range(1, 7), chance.randrange(7))
        allows = RulesFlag.RULES_ALLOW_INGRESS | RulesFlag.RULES_ALLOW_EGRESS
        default = chance.choice([ALLOW, DROP])
        judge.put(model, subjects, allows if default == ALLOW else RulesFlag(0))
        for _ in range(300):
            remote = chance.choice(REMOTES)
            direction = chance.choice(list(Direction))
            at = random_point(chance, remote.version)
            wanted = model.decide(subjects, direction, remote, at, default)
            found = judge.ask(direction, remote, at)
            assert found == wanted, f"seed {seed}: {direction} {remote} {at:#x} {subjects}"
            decided += 1
            seen.add(found.action)
    assert decided == 1800
    assert rules < 30 or seen == {ALLOW, DROP, RuleAction.RULE_REJECT}
