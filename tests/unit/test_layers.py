"""Imports point down only, and each dependency is used where docs/dependencies.md says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import weft

ROOT = Path(weft.__file__).parent

LAYERS = (
    {"errors", "cancellation", "printable", "readiness"},
    {"disk", "model"},
    {"config"},
    {"ipam", "store", "kernel", "logs"},
    {"semantics", "topology"},
    {"mesh", "engine"},
    {"cluster"},
    {"etcd"},
    {"control"},
    {"host", "dns", "proxy"},
    {"observers"},
    {"api", "frontends"},
    {"metrics", "doctor"},
    {"lab"},
    {"cli", "bench"},
    {"daemon"},
)
"""From the bottom up. What shares a line is independent of each other."""

RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}

USERS_OF_KERNEL = {
    "kernel",
    "engine",
    "host",
    "observers",
    "proxy",
    "doctor",
    "cli",
    "bench",
    "daemon",
}
"""Everybody else asks control, and the engine does it."""

PURE = (
    "model",
    "ipam",
    "semantics",
    "topology",
    "frontends/docker/answers.py",
    "frontends/docker/records.py",
    "frontends/docker/requested.py",
    *(
        f"frontends/docker/reconcile/{name}.py"
        for name in (
            "actions",
            "containers",
            "decide",
            "difference",
            "facts",
            "garbage",
            "leftovers",
            "mirror",
            "naming",
            "restore",
        )
    ),
    "engine/claims.py",
    "engine/compiler.py",
    "engine/questions.py",
    "engine/readings.py",
    "engine/reads.py",
    "store/asking.py",
    "engine/table.py",
    "engine/steps.py",
    "engine/plumbing/tables",
    "engine/ebpf/tables",
    "engine/ebpf/map_table.py",
    "engine/ebpf/compile",
    "engine/ebpf/policy",
    "engine/ebpf/ruleset",
    "mesh/ledger.py",
    "mesh/own_incarnation.py",
    "mesh/replica.py",
    "mesh/upkeep.py",
    "mesh/session.py",
    "mesh/links.py",
    "store/shown.py",
    "etcd/known.py",
    "etcd/keys.py",
    "etcd/wire.py",
    "mesh/wire.py",
    *(
        f"observers/flows/{name}.py"
        for name in ("entries", "history", "pace", "screen", "seen", "telling")
    ),
    "observers/multicast/messages.py",
    "observers/multicast/pace.py",
    "observers/multicast/querier.py",
    "observers/multicast/table.py",
)
IMPURE = {"asyncio", "os", "pathlib", "shutil", "socket", "sqlite3", "subprocess", "threading"}

USERS_OF = {
    "aiodocker": {"frontends"},
    "aiohttp": {"api", "etcd", "frontends", "lab"},
    "click": {"cli", "lab", "bench"},
    "cryptography": {"cluster"},
    "dns": {"dns", "lab"},
    "matplotlib": {"bench"},
    "prometheus_client": {"metrics"},
    "rich": {"cli", "lab"},
    "sqlite3": {"store"},
    "yaml": {"cli"},
}
"""Third parties, and who may know them. ctypes is for the kernel's calls."""


PACKAGES = ("weft", "weft.engine", "weft.engine.ebpf", "weft.kernel.bpf")
"""Of which modules are imported by name."""


class Import(NamedTuple):
    file: Path
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def layer(file: Path) -> str:
    return file.relative_to(ROOT).with_suffix("").parts[0]


def imports(file: Path) -> Iterator[Import]:
    """Every import of a file, those in functions and for the type checker included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno} imports relatively"
            module = node.module or ""
            if module in PACKAGES:
                for alias in node.names:
                    yield Import(file, node.lineno, f"{module}.{alias.name}")
            yield Import(file, node.lineno, module)


IMPORTS = [found for file in sorted(ROOT.rglob("*.py")) for found in imports(file)]


def layer_of_module(module: str) -> str | None:
    """None: not ours, or the package itself (its version)."""
    parts = module.split(".")
    if parts[0] != "weft" or len(parts) == 1 or parts[1].startswith("__"):
        return None
    return parts[1]


def test_every_module_has_a_layer() -> None:
    found = {layer(file) for file in ROOT.rglob("*.py")} - {"__init__"}
    assert found <= set(RANKS), "name the layer of the new part in LAYERS"


def test_imports_point_down() -> None:
    wrong = [
        str(one)
        for one in IMPORTS
        if (to := layer_of_module(one.module)) is not None
        and to != layer(one.file)
        and RANKS[to] >= RANKS[layer(one.file)]
    ]
    assert wrong == []


def test_only_those_above_the_engine_who_must_touch_the_kernel() -> None:
    wrong = [
        str(one)
        for one in IMPORTS
        if layer_of_module(one.module) == "kernel" and layer(one.file) not in USERS_OF_KERNEL
    ]
    assert wrong == []


def test_nobody_outside_knows_more_of_an_engine_than_its_plane() -> None:
    wrong = [
        str(one)
        for one in IMPORTS
        if one.module.startswith("weft.engine.ebpf")
        and layer(one.file) != "engine"
        and one.module not in ("weft.engine.ebpf", "weft.engine.ebpf.plane")
    ]
    assert wrong == []


def test_what_says_rows_knows_of_the_kernel_no_more_than_its_maps() -> None:
    said = [
        ROOT / "engine" / part
        for part in ("plumbing/tables", "ebpf/tables", "ebpf/map_table.py", "ebpf/compile")
    ]
    assert all(part.exists() for part in said)
    known = {"weft.kernel.bpf", "weft.kernel.bpf.layouts", "weft.kernel.bpf.berths"}
    wrong = [
        str(one)
        for one in IMPORTS
        if (one.file in said or any(part in one.file.parents for part in said))
        and layer_of_module(one.module) == "kernel"
        and one.module not in known
    ]
    assert wrong == []


def test_the_plumbing_knows_no_engine() -> None:
    plumbing = ROOT / "engine" / "plumbing"
    assert plumbing.exists()
    wrong = [
        str(one)
        for one in IMPORTS
        if plumbing in one.file.parents and one.module.startswith("weft.engine.ebpf")
    ]
    assert wrong == []


def test_nobody_imports_the_daemon() -> None:
    wrong = [
        str(one)
        for one in IMPORTS
        if layer_of_module(one.module) == "daemon" and layer(one.file) != "daemon"
    ]
    assert wrong == []


@pytest.mark.parametrize("part", PURE)
def test_pure_parts_do_no_io(part: str) -> None:
    inside = ROOT / part
    assert inside.exists()
    wrong = [
        str(one)
        for one in IMPORTS
        if (one.file == inside or inside in one.file.parents) and one.module.split(".")[0] in IMPURE
    ]
    assert wrong == []


@pytest.mark.parametrize("library", sorted(USERS_OF))
def test_a_dependency_is_known_to_one_part_alone(library: str) -> None:
    wrong = [
        str(one)
        for one in IMPORTS
        if one.module.split(".")[0] == library and layer(one.file) not in USERS_OF[library]
    ]
    assert wrong == []
