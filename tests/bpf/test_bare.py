"""Bare programs forward on either hook; the time in them, and in those of weftd, is found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from weft.bench import bare, programs
from weft.bench.programs import FROM_PORT, FROM_WIRE, Hook
from weft.bench.topology import Variant
from weft.errors import UnavailableError
from weft.kernel.bpf import syscall

MTU_BYTES = 1450
VARIANTS: dict[str, tuple[Variant, set[str], Hook]] = {
    "one host": (bare.redirect_peer, {FROM_PORT}, Hook.CLSACT),
    "one host, the limit": (bare.redirect_limit, {FROM_PORT}, Hook.TCX),
    "two hosts": (bare.bpf_vxlan, {FROM_PORT, FROM_WIRE}, Hook.CLSACT),
    "two hosts, the limit": (
        partial(bare.bpf_vxlan, hook=Hook.TCX),
        {FROM_PORT, FROM_WIRE},
        Hook.TCX,
    ),
}


@pytest.mark.parametrize(("variant", "roles", "hook"), VARIANTS.values(), ids=VARIANTS)
def test_packets_pass_and_their_time_in_each_program_is_known(
    variant: Variant, roles: set[str], hook: Hook
) -> None:
    try:
        programs.check(hook)
    except UnavailableError as error:
        pytest.skip(str(error))
    with variant(MTU_BYTES) as pair:
        with programs.spent(pair.programs) as ns_a_packet:
            pair.client.run(["ping", "-n", "-q", "-c", "3", "-i", "0.01", pair.address])
        assert set(ns_a_packet) == roles
        assert all(ns > 0 for ns in ns_a_packet.values())
        held = [fd for fds in pair.programs.values() for fd in fds]
        assert len(held) == 2 * len(roles)
    assert not any(Path(f"/proc/self/fd/{fd}").exists() for fd in held)


def test_a_program_that_no_packet_met_has_no_time() -> None:
    with (
        bare.redirect_peer(MTU_BYTES) as pair,
        pytest.raises(UnavailableError, match="from_port: no packet"),
        programs.spent(pair.programs),
    ):
        pass


PINS = """
import os, sys
from pathlib import Path
from weft.config import Settings
from weft.kernel.bpf import syscall
from weft.kernel.bpf.assembly import end, load_classifier, move

folder = Path(Settings().bpffs_dir) / "programs"
folder.mkdir(parents=True)
for role in sys.argv[1:]:
    syscall.pin(load_classifier((move(0, 0), end())), folder / role)
print("pinned", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def weftd() -> Iterator[int]:
    """Stands for a host's weftd: the pid of a process with pins on a bpf file system of its own."""
    mount = "mount -t bpf bpf /sys/fs/bpf && exec "
    mount += f'"{sys.executable}" -c "$1" {FROM_PORT} {FROM_WIRE}'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh", PINS]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "pinned\n"
        yield process.pid
        process.communicate()


def test_programs_of_weftd_are_found_in_its_own_mounts(weftd: int) -> None:
    with programs.of_weft([weftd], [FROM_PORT, FROM_WIRE]) as found:
        ids = {role: [syscall.program_info(fd).id for fd in fds] for role, fds in found.items()}
        assert set(ids) == {FROM_PORT, FROM_WIRE}
        assert ids[FROM_PORT] != ids[FROM_WIRE]
        fds = [fd for each in found.values() for fd in each]
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
