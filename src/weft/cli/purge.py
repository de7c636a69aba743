"""What ``weft down --purge`` removes, weftd being stopped: kernel objects first, then files.

Only what Weft made: files by their names, folders only when nothing else is left in them. A
container engine's networks are its own; its plugin socket is Weft's.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from weft.cli.daemon_process import log_file
from weft.config import Settings
from weft.dns import former
from weft.engine.ebpf import plane
from weft.errors import UnavailableError, WeftError
from weft.frontends.docker.plugin_socket import NAME, specification_path
from weft.host.folders import remove_made_folders


def purge_host(settings: Settings) -> list[str]:
    """Remove everything; the paths of the files that went. Gathers what cannot be removed."""
    problems: list[Exception] = []
    try:
        plane.purge(settings)
    except (WeftError, ExceptionGroup) as error:
        problems.append(error)
    removed = []
    for path in files(settings):
        try:
            if _remove(path):
                removed.append(str(path))
        except OSError as error:
            problems.append(UnavailableError(f"remove {path}: {error.strerror}"))
    removed += [str(folder) for folder in remove_made_folders(settings)]
    for folder in (settings.run_dir, settings.state_dir):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    if problems:
        raise ExceptionGroup("purge: not all of it could be removed", problems)
    return removed


def files(settings: Settings) -> Iterator[Path]:
    """Every file and folder that a weftd of these settings may have made."""
    run_dir = Path(settings.run_dir)
    yield settings.api_socket
    yield settings.pid_file
    yield from (run_dir / name for name in ("docker-plugin.sock", "sysctl.json"))
    yield run_dir / "sysctl.partial"
    yield run_dir / former.FILE
    yield settings.start_mark
    yield settings.host_id_file
    yield Path(settings.state_dir) / "cluster"
    for database in (settings.database, settings.etcd_database):
        yield from sorted(database.parent.glob(f"{database.name}*"))
    yield Path(settings.state_dir) / "etcd"
    yield log_file(settings).parent
    link = Path(settings.docker_plugin_dir) / f"{NAME}.sock"
    if link.is_symlink() and str(link.readlink()).startswith("/proc/"):
        yield link
    specification = specification_path(settings)
    if specification is not None:
        yield specification


def _remove(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        return True
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
