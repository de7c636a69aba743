from __future__ import annotations

import errno
import os

import pytest

from weft.disk import why_not_written


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        (errno.EROFS, "--run-dir"),
        (errno.ENOSPC, "free some room"),
        (errno.EACCES, "run this as root"),
        (errno.ENOTDIR, "--run-dir"),
    ],
)
def test_an_error_of_a_file_has_its_fix(code: int, fix: str) -> None:
    text = why_not_written(OSError(code, "as Python says"), "run-dir")
    assert text.startswith(f"{os.strerror(code)}; ") and fix in text


def test_an_error_that_nobody_foresaw_is_said_as_it_is() -> None:
    assert why_not_written(OSError(errno.EXDEV, "")) == os.strerror(errno.EXDEV)
    assert why_not_written(OSError("odd")) == "odd"
