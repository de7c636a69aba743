from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.conftest import Weftd
from weft.cli.main import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Weft = Callable[..., Ran]


@pytest.fixture
def weft(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> Weft:
    """The command, run in this process; without a weftd unless a test asks for one too."""
    monkeypatch.setenv("WEFT_CONFIG", str(folder / "weft.toml"))
    (folder / "weft.toml").write_text("")
    monkeypatch.setenv("WEFT_RUN_DIR", str(folder / "run"))
    monkeypatch.setenv("WEFT_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("WEFT_DOCKER_PLUGIN_DIR", str(folder / "plugins"))
    monkeypatch.setenv("WEFT_NAME", "h1")
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        try:
            main(arguments)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def busy(weftd: Weftd, weft: Weft) -> Weft:
    """A weftd with a dual-stack network, a container and a name; and the command for it."""
    for arguments in (
        "network create foo --subnet 10.9.0.0/24 --subnet fd00:9:aaaa:bbbb::/64",
        "network create a-network-with-quite-a-long-name --subnet 10.10.0.0/24 --internal",
        "attach web foo --ip fd00:9:aaaa:bbbb:cccc:dddd:eeee:ffff --name www --name web",
        "port add foo --ip 10.9.0.77 --name box",
        "port add a-network-with-quite-a-long-name --name a-workload-with-quite-a-long-name",
        "dns add printer foo 10.9.0.200 fd00:9:aaaa:bbbb:cccc:dddd:eeee:1",
        "expose foo",
    ):
        ran = weft(*arguments.split())
        assert ran.code == 0, ran
    return weft
