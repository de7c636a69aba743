"""What C and Python share is generated, so it cannot differ."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from weft.kernel.bpf import layouts
from weft.kernel.bpf.counters import DROP_REASONS
from weft.kernel.bpf.layouts import Counters, DropReason, Port

_BPF = Path(__file__).parents[2] / "bpf"


def test_the_committed_module_is_current() -> None:
    script = _BPF / "generate_layouts.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", layouts.SIZES)
def test_encodes_to_the_size_of_the_struct_and_back(name: str) -> None:
    kind = getattr(layouts, "".join(part.capitalize() for part in name.split("_")))
    value = kind()
    assert len(value.encode()) == layouts.SIZES[name]
    assert kind.decode(value.encode()) == value


def test_fields_keep_their_places() -> None:
    port = Port(1, 2, b"macmac", 1450, 5, bytes(range(16)), bytes(range(16, 32)))
    raw = port.encode()
    assert Port.decode(raw) == port
    assert raw[8:14] == b"macmac"
    assert raw[14:16] == (1450).to_bytes(2, "little")
    counters = Counters(1, 2, 3, 4)
    assert Counters.decode(counters.encode()) == counters


def test_every_drop_reason_has_a_name() -> None:
    assert DROP_REASONS[DropReason.DROP_SPOOFED_MAC] == "spoofed_mac"
    assert len(DROP_REASONS) == len(DropReason) - 2
    assert max(DROP_REASONS) < DropReason.DROP_REASONS
