"""Files that only root reads, replaced whole: a crash leaves the old one or the new one."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from weft.disk import why_not_written
from weft.errors import InvalidError, UnavailableError

log = structlog.get_logger()


class PrivateFolder:
    """A folder of private files, made when the first is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes | None:
        """None: there is no such file. InvalidError: it may not be read.

        A file that others could read is closed to them, and the log says so.
        """
        path = self.path / name
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    os.fchmod(file.fileno(), 0o600)
                    log.warning("file was readable by others, mended", path=str(path))
                return file.read()
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise InvalidError(f"{path}: {error.strerror}; run this as root") from error
        except OSError as error:
            raise InvalidError(f"{path}: {error.strerror}") from error

    def write(self, name: str, data: bytes) -> None:
        """Durable when it returns. UnavailableError: it cannot be written now."""
        try:
            self._make()
            temporary = self.path / f".{name}.new"
            temporary.unlink(missing_ok=True)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self.path / name)
            self._sync()
        except PermissionError as error:
            raise InvalidError(f"{self.path / name}: {why_not_written(error)}") from error
        except OSError as error:
            raise UnavailableError(f"{self.path / name}: {why_not_written(error)}") from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise UnavailableError(f"{self.path / name}: {why_not_written(error)}") from error

    def names(self, pattern: str) -> list[str]:
        """Files that are there."""
        return sorted(path.name for path in self.path.glob(pattern))

    def _make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.path.stat().st_mode & 0o077:
            self.path.chmod(0o700)

    def _sync(self) -> None:
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
