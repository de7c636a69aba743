"""weftd itself, what it could not make true, and what was left without it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import weft
from weft.doctor.finding import Daemon, Finding, Subject
from weft.engine.plumbing.device_names import PORT_DEVICE, WEFT0
from weft.kernel.links import links
from weft.kernel.netlink import Netlink

SETTING = "setting"
"""Of problems that weftd has mended, and whose cause somebody should look for."""
MIN_FREE_BYTES = 50_000_000
HOST_PREFIX = "host-prefix"
"""Of problems with which all works but for what they say."""


def check(subject: Subject) -> Iterator[Finding]:
    """State, problems, leftovers, and room for the database."""
    if subject.daemon is None:
        yield Finding(
            name="weftd", state="warning", detail=subject.why_no_daemon, fix="start it: weft up"
        )
        yield _leftovers(subject)
    else:
        yield _running(subject.daemon)
        yield from _store(subject.daemon)
        yield from _problems(subject.daemon)
    yield _state_dir(Path(subject.settings.state_dir))


def _running(daemon: Daemon) -> Finding:
    status = daemon.status
    if status.version != weft.__version__:
        return Finding(
            name="weftd",
            state="warning",
            detail=f"runs version {status.version}, installed is {weft.__version__}",
            fix="restart it, ports go on meanwhile: weft down, then weft up",
        )
    if not status.is_ready:
        return Finding(
            name="weftd",
            state="warning",
            detail="has not finished its first look at the kernel",
            fix="wait a moment; if it stays so, see its log",
        )
    size = daemon.facts.resident_bytes // 1_000_000
    return Finding(name="weftd", state="ok", detail=f"ready, pid {status.pid}, {size} MB")


def _store(daemon: Daemon) -> Iterator[Finding]:
    """That it does not serve is among the problems."""
    store = daemon.status.store
    if store.kind == "mesh" or store.reason:
        return
    is_local = store.where.startswith(("http://127.", "http://localhost:", "http://[::1]:"))
    if store.where.startswith("http://") and not is_local:
        yield Finding(
            name="store",
            state="warning",
            detail=f"{store.where} is spoken to in plain text: who can listen or answer there can "
            "change the cluster's records",
            fix="serve etcd in TLS, and name its authority by --etcd-ca-file",
        )
        return
    yield Finding(name="store", state="ok", detail=f"{store.where} answers")


def _problems(daemon: Daemon) -> Iterator[Finding]:
    others = [problem for problem in daemon.problems if problem.kind != "dns"]
    for problem in others:
        yield Finding(
            name=f"{problem.kind} {problem.name}".strip(),
            state="warning" if problem.kind in (SETTING, HOST_PREFIX) else "failed",
            detail=problem.reason,
            fix=problem.fix,
        )
    if not others:
        yield Finding(name="records", state="ok", detail="all in force in the kernel")


def _leftovers(subject: Subject) -> Finding:
    """Devices that forward without weftd are as they should be, if there are records of them."""
    with Netlink() as netlink:
        own = [link.name for link in links(netlink) if PORT_DEVICE.fullmatch(link.name)]
        has_base = any(link.name == WEFT0 for link in links(netlink))
    if not own and not has_base:
        return Finding(name="leftovers", state="ok", detail="none")
    if subject.settings.database.exists() or subject.settings.etcd_database.exists():
        detail = f"{len(own)} ports forward without weftd"
        return Finding(name="leftovers", state="ok", detail=detail)
    return Finding(
        name="leftovers",
        state="warning",
        detail=f"{len(own)} devices of Weft's, but no records of them at"
        f" {subject.settings.database}",
        fix="name the right --state-dir, or remove them: weft down --purge",
    )


def _state_dir(path: Path) -> Finding:
    there = next(one for one in (path, *path.parents) if one.exists())
    free = shutil.disk_usage(there).free
    if free < MIN_FREE_BYTES:
        return Finding(
            name="disk",
            state="failed",
            detail=f"{path}: only {free // 1_000_000} MB are free",
            fix=f"free some, or move state_dir; {MIN_FREE_BYTES // 1_000_000} MB are enough",
        )
    return Finding(name="disk", state="ok", detail=f"{path}: {free // 1_000_000} MB free")
