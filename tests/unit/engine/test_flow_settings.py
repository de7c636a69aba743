"""The settings of flows reach the programs."""

from __future__ import annotations

from weft.config import Settings
from weft.engine.ebpf.flow_settings import flow_limits
from weft.kernel.bpf.flow_limits import FLOW_ENTRIES, FlowLimits


def test_defaults_are_the_same_in_both_places() -> None:
    assert flow_limits(Settings()) == FlowLimits()
    assert Settings().flow_entries == FLOW_ENTRIES


def test_each_setting_is_its_own() -> None:
    names = [name for name in Settings.__struct_fields__ if name.startswith("flow")]
    names.remove("flow_log")
    names.remove("flow_entries")
    assert len(names) == len(FlowLimits._fields)
    values = {name: number for number, name in enumerate(names, 2)}
    assert set(flow_limits(Settings(**values))) == set(values.values())  # type: ignore[arg-type]
