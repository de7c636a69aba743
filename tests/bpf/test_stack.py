"""The programs fit the stack of older kernels, which count it more strictly than this one may, and
leave room for what is to come.

Reads the instructions of the built objects: the deepest chain of calls, each frame rounded up to 32
bytes (check_max_stack_depth in kernel/bpf/verifier.c as of Linux 6.1).
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.kernel.bpf.programs import ROLES

OBJDUMP = "llvm-objdump"
LIMIT = 512
BUDGET = 384
CALL, LOAD_64 = 0x85, 0x18
RELOCATED = -1
"""Instead of how far a call goes: the relocation says to which function."""
FUNCTION = re.compile(r"([0-9a-f]{16}) .* F (\S+)\s+([0-9a-f]+) (\S+)")
INSTRUCTION = re.compile(r"\s+(\d+):\t((?:[0-9a-f]{2} ){7}[0-9a-f]{2})(?: [0-9a-f ]+)?\t(.*)")
RELOCATION = re.compile(r"\s+[0-9a-f]+:\s+R_BPF_64_(?:32|64)\s+(\S+)")
FRAME = re.compile(r"r10 - (\d+)|r\d \+= -(\d+)$")


class Functions:
    """Frames and calls of an object's functions."""

    def __init__(self, file: Path) -> None:
        self.places: dict[tuple[str, int], str] = {}
        for line in dump("-t", file):
            if found := FUNCTION.match(line):
                first, section, size, name = found.groups()
                for at in range(int(size, 16) // 8):
                    self.places[section, int(first, 16) // 8 + at] = name
        self.frames: dict[str, int] = {}
        self.calls: dict[str, set[str]] = {}
        section, previous = "", ("", 0, b"")
        for line in dump("-dr", file):
            if line.startswith("Disassembly of section"):
                section = line.split()[-1].rstrip(":")
            elif found := INSTRUCTION.match(line):
                previous = self._read(section, int(found[1]), bytes.fromhex(found[2]), found[3])
            elif found := RELOCATION.match(line):
                self._relocate(found[1], *previous)

    def _read(self, section: str, at: int, raw: bytes, text: str) -> tuple[str, int, bytes]:
        name = self.places[section, at]
        sizes = [int(one or two) for one, two in FRAME.findall(text)]
        sizes = [size for size in sizes if size <= LIMIT]
        self.frames[name] = max([self.frames.get(name, 1), *sizes])
        code, registers, _, immediate = struct.unpack("<BBhi", raw)
        is_call = code == CALL and registers >> 4 == 1 and section == ".text"
        is_local = is_call and immediate != RELOCATED
        if is_local and (target := self.places.get((section, at + 1 + immediate))):
            self.calls.setdefault(name, set()).add(target)
        return name, code, raw

    def _relocate(self, symbol: str, name: str, code: int, raw: bytes) -> None:
        (immediate,) = struct.unpack("<i", raw[4:])
        if symbol in self.places.values():
            self.calls.setdefault(name, set()).add(symbol)
        if symbol != ".text":
            return
        place = immediate + 1 if code == CALL else immediate // 8
        self.calls.setdefault(name, set()).add(self.places[".text", place])

    def depth(self, name: str) -> int:
        own = -(-self.frames[name] // 32) * 32
        return own + max((self.depth(each) for each in self.calls.get(name, ())), default=0)


def dump(option: str, file: Path) -> Iterator[str]:
    done = subprocess.run([OBJDUMP, option, file], capture_output=True, text=True, check=True)
    return iter(done.stdout.splitlines())


@pytest.mark.parametrize("role", ROLES)
def test_deepest_chain_of_calls_fits(objects: Path, role: str) -> None:
    depth = Functions(objects / f"{role}.o").depth(role)
    assert 32 < depth <= BUDGET
