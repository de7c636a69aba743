"""Kernel settings of the calling thread's network namespace (/proc/sys/net)."""

from __future__ import annotations

from pathlib import Path

from weft.errors import KernelError

_ROOT = Path("/proc/sys")


def read(name: str) -> str | None:
    """A setting such as ``net/ipv4/ip_forward``; None: this kernel has none of this name.

    Slashes, not dots, for the name of a device may hold a dot.
    """
    try:
        return (_ROOT / name).read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KernelError(f"read sysctl {name}", error.errno or 0) from error


def write(name: str, value: str) -> None:
    """Change a setting."""
    try:
        (_ROOT / name).write_text(value)
    except OSError as error:
        raise KernelError(f"set sysctl {name} to {value}", error.errno or 0) from error


def ensure(name: str, value: str) -> str | None:
    """Change a setting if it differs; the former value if it did."""
    former = read(name)
    if former is None or former == value:
        return None
    write(name, value)
    return former


def devices(family: str) -> list[str]:
    """Devices that have settings of ``ipv4`` or ``ipv6``."""
    try:
        names = [entry.name for entry in (_ROOT / "net" / family / "conf").iterdir()]
    except FileNotFoundError:
        return []
    return [name for name in names if name not in ("all", "default")]
