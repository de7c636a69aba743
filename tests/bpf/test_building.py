"""The programs are built by whatever clang there is, and never by none in silence."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

BPF = Path(__file__).parents[2] / "bpf"


def make(objects: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(BPF), f"OBJECTS={objects}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_missing_compiler_is_an_error_that_names_it(tmp_path: Path) -> None:
    done = make(tmp_path, "CLANG=clang-of-nobody")
    assert done.returncode
    assert "clang-of-nobody" in done.stderr
    assert not list(tmp_path.glob("*.o"))


def test_a_compiler_that_is_too_old_is_refused() -> None:
    old = ["-Wno-builtin-macro-redefined", "-U__clang_major__", "-D__clang_major__=13"]
    done = subprocess.run(
        ["clang", "-target", "bpf", "-fsyntax-only", *old, "-include", BPF / "abi.h", "-xc", "-"],
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert "need clang 14 or newer" in done.stderr


def test_the_compiler_is_named_and_another_one_builds_anew(tmp_path: Path) -> None:
    one = str(tmp_path / "from_wire.o")
    assert make(tmp_path, one).returncode == 0
    assert "-target bpf" not in make(tmp_path, one).stdout
    assert "clang version" in (tmp_path / "compiler.txt").read_text()
    other = tmp_path / "clang"
    other.write_text(f'#!/bin/sh\necho "clang version 99"\nexec {shutil.which("clang")} "$@"\n')
    other.chmod(0o755)
    done = make(tmp_path, f"CLANG={other}", one)
    assert done.returncode == 0
    assert f"{other} -target bpf" in done.stdout
    assert (tmp_path / "compiler.txt").read_text() == "clang version 99\n"
