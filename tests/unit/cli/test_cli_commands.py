"""The commands against a real API: what they do, print, and exit with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import FakeCounters, Weftd
from weft.cli.main import COMMANDS, cli
from weft.cli.ports_table import enough_of
from weft.engine.failures import Failure
from weft.engine.rows import RowKey

READING = (
    "status",
    "status hosts",
    "status ports",
    "status ports --all",
    "status problems",
    "tenant ls",
    "tenant inspect default",
    "network ls",
    "network inspect foo",
    "port ls",
    "port ls foo",
    "port inspect box",
    "ps",
    "ps foo",
    "dns ls",
    "dns lookup web",
    "export",
)
ELSEWHERE = ("lab", "bench")
"""Groups of other parts, with help of their own."""


def leaf_commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    context = click.Context(command)
    found: list[tuple[tuple[str, ...], click.Command]] = []
    if command.invoke_without_command and path:
        found.append((path, command))
    for name in command.list_commands(context):
        if name in ELSEWHERE and not path:
            continue
        child = command.get_command(context, name)
        assert child is not None
        found += leaf_commands(child, (*path, name))
    return found


LEAVES = leaf_commands(cli)


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_help_has_examples_and_fits_80_columns(
    weft: Weft, path: tuple[str, ...], command: click.Command
) -> None:
    ran = weft(*path, "--help")
    assert ran.code == 0
    assert "Examples:" in ran.out or path == ("version",)
    assert f"weft {' '.join(path)}" in ran.out.split("Examples:")[-1]
    assert max(map(len, ran.out.splitlines())) <= 80
    if path != ("completion",):
        assert "--json" in ran.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_is_there(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.get_short_help_str()


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from weft.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "One network for containers" in done.stdout
    heavy = {"aiohttp", "asyncio", "rich", "structlog", "prometheus_client", "msgspec"}
    assert not heavy & loaded


@pytest.mark.parametrize("line", READING)
def test_output_fits_80_columns_and_has_no_colours(busy: Weft, line: str) -> None:
    ran = busy(*line.split())
    assert (ran.code, ran.err) == (0, "")
    assert ran.out
    assert "\x1b" not in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


@pytest.mark.parametrize("line", READING)
def test_json_is_one_object(busy: Weft, line: str) -> None:
    ran = busy(*line.split(), "--json")
    assert ran.code == 0
    assert isinstance(json.loads(ran.out), dict)


@pytest.mark.parametrize("line", [line for line in READING if "lookup" not in line])
def test_without_weftd_the_command_says_how_to_start_it(weft: Weft, line: str) -> None:
    ran = weft(*line.split())
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("weft: weftd is not running on this host (no socket ")
    assert ran.err.endswith("start it with: weft up\n")


def test_network_lives_from_create_to_rm(weftd: Weftd, weft: Weft) -> None:
    line = (
        "network create foo --subnet 10.9.0.0/24 --gateway 10.9.0.254 --range 10.9.0.64/26"
        " --exclude 10.9.0.64-10.9.0.66 --label team=a --json"
    )
    created = weft(*line.split())
    assert created.code == 0, created
    (subnet,) = json.loads(created.out)["subnets"]
    assert subnet["gateway"] == "10.9.0.254"
    assert subnet["ranges"] == [{"first": "10.9.0.64", "last": "10.9.0.127"}]
    assert subnet["excludes"] == [{"first": "10.9.0.64", "last": "10.9.0.66"}]
    port = json.loads(weft("port", "add", "foo", "--json").out)
    assert port["addresses"] == ["10.9.0.67"]
    text = weft("network", "inspect", "foo").out
    for part in ("10.9.0.0/24  gateway 10.9.0.254", "gives 10.9.0.64-10.9.0.127", "label team"):
        assert part in text
    in_use = weft("network", "rm", "foo")
    assert in_use.code == 1
    assert "in use" in in_use.err
    assert weft("port", "rm", port["id"]).code == 0
    assert weft("network", "rm", "foo").out == "network foo: removed\n"
    assert json.loads(weft("network", "ls", "--json").out) == {"networks": []}


def test_network_without_subnet_takes_one_from_the_pool(weftd: Weftd, weft: Weft) -> None:
    created = json.loads(weft("network", "create", "foo", "--ipv6", "--json").out)
    assert [":" in subnet["cidr"] for subnet in created["subnets"]] == [False, True]


def test_network_without_gateway(weftd: Weftd, weft: Weft) -> None:
    line = "network create foo --subnet 10.9.0.0/24 --no-gateway --json"
    (subnet,) = json.loads(weft(*line.split()).out)["subnets"]
    assert subnet["gateway"] is None


def test_rm_of_several_goes_on_after_a_failure(weftd: Weftd, weft: Weft) -> None:
    weft("network", "create", "foo")
    ran = weft("network", "rm", "nosuch", "foo", "neither")
    assert ran.code == 1
    assert ran.out == "network foo: removed\n"
    assert ran.err.count("\n") == 2
    assert "network nosuch: not found" in ran.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("network create foo --subnet 10.0.0.0/33", "prefix length must be 0..32"),
        ("network create foo --subnet 10.0.0.7/24", "the subnet is 10.0.0.0/24"),
        ("network create foo --gateway 10.0.0.1", "say with --subnet"),
        ("network create foo --subnet 10.0.0.0/24 --gateway 10.1.0.1", "outside of the network's"),
        (
            "network create foo --subnet 10.0.0.0/24 --range 10.0.0.9-10.0.1.9",
            "--range 10.0.0.9-10.0.1.9: outside of the network's subnets (10.0.0.0/24)",
        ),
        (
            "network create foo --subnet 10.0.0.0/24 --gateway 10.0.0.1 --no-gateway",
            "contradict each other",
        ),
        (
            "network create foo --subnet 10.0.0.0/24 --gateway 10.0.0.1 --gateway 10.0.0.2",
            "has 10.0.0.1 already",
        ),
        ("network create foo --mtu 12", "12 is not in the range 576<=x<=65535"),
        ("network create", "Missing argument 'NAME'"),
        ("network rm", "Missing argument 'NETWORK...'"),
        ("port add foo --pid 1 --container web", "only one of"),
        ("port add foo --netns box", "say an absolute path, as /run/netns/box"),
        ("port add foo --ifname eth0", "need --netns, --pid or --container"),
        ("port add foo --publish 80", "HOST_PORT:PORT"),
        ("attach web foo --ip 10.0.0.1/24", "leave out the prefix length"),
        ("attach web foo --mac 01:00:00:00:00:01", "multicast"),
        ("dns add n foo", "say at least one ADDRESS or --srv"),
        ("dns add n foo 10.0.0.1/24", "leave out the prefix length"),
        ("completion tcsh", "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
        ("nosuch", "No such command 'nosuch'"),
        ("ps --nosuch", "No such option"),
        ("up --mtu-bytes x", "'x' is not a valid integer"),
    ],
)
def test_what_is_not_understood_exits_with_2(weft: Weft, line: str, message: str) -> None:
    ran = weft(*line.split())
    assert (ran.code, ran.out) == (2, "")
    assert message in " ".join(ran.err.split())


def test_refusal_of_weftd_exits_with_1_and_its_sentence(busy: Weft) -> None:
    ran = busy("network", "create", "foo")
    assert ran.code == 1
    assert ran.err.startswith("weft: network foo: exists already")
    assert "did you mean foo?" in busy("network", "inspect", "fo").err


def test_attach_shows_address_and_interface(weftd: Weftd, weft: Weft) -> None:
    weft("network", "create", "foo", "--subnet", "10.9.0.0/24")
    attached = weft("attach", "web", "foo", "--ifname", "net1")
    assert attached.code == 0
    assert "10.9.0.2 as net1, named web" in attached.out
    assert "web" in weft("ps").out
    assert weft("detach", "web", "foo").out == "web: detached from foo\n"
    assert "web" not in weft("ps").out


def test_port_add_with_every_field(weftd: Weftd, weft: Weft) -> None:
    weft("network", "create", "foo", "--subnet", "10.9.0.0/24")
    line = (
        "port add foo --container web --ip 10.9.0.9 --mac 02-00-00-00-00-09 --name a --name b"
        " --ifname net1 --allow-address 10.1.0.0/16=02:00:00:00:00:0a --no-spoof-check"
        " --no-default-route --publish 127.0.0.1:8080:80/udp --json"
    )
    port = json.loads(weft(*line.split()).out)
    assert port["addresses"] == ["10.9.0.9"]
    assert port["mac"] == "02:00:00:00:00:09"
    assert port["names"] == ["a", "b"]
    assert port["allowed"] == [{"cidr": "10.1.0.0/16", "mac": "02:00:00:00:00:0a"}]
    assert port["is_spoof_checked"] is False
    assert port["device"]["netns"] == "/run/netns/web"
    assert port["published"] == [
        {"protocol": "udp", "host_port": 8080, "port": 80, "host_address": "127.0.0.1", "count": 1}
    ]


def test_expose_and_hide(weftd: Weftd, weft: Weft) -> None:
    weft("network", "create", "foo", "--subnet", "10.9.0.0/24")
    exposed = weft("expose", "foo", "--ip", "10.9.0.100")
    assert exposed.out == "network foo: this host is 10.9.0.100\n"
    assert "(the host)" in weft("ps").out
    assert "exposed" in weft("network", "ls").out
    assert weft("hide", "foo").code == 0
    assert "exposed" not in weft("network", "ls").out


def test_names_come_and_go(weftd: Weftd, weft: Weft) -> None:
    weft("network", "create", "foo", "--subnet", "10.9.0.0/24")
    added = weft("dns", "add", "db", "foo", "10.9.0.20", "10.9.0.21")
    assert added.out == "db.foo.weft.internal: 10.9.0.20, 10.9.0.21\n"
    assert weft("dns", "rm", "db", "foo", "10.9.0.20").code == 0
    assert "10.9.0.21" in weft("dns", "ls").out
    assert weft("dns", "add", "_http._tcp.web", "foo", "--srv", "0 0 80 web").code == 0
    assert "0 0 80 web" in weft("dns", "ls", "foo").out
    assert weft("dns", "rm", "db", "foo").out == "db: removed\n"


def test_lookup_of_an_unknown_name_exits_with_1(weftd: Weftd, weft: Weft) -> None:
    found = weft("dns", "lookup", "web")
    assert found.code == 0
    assert "10.9.0.2" in found.out
    missing = weft("dns", "lookup", "nosuch")
    assert (missing.code, missing.out) == (1, "")
    assert "NXDOMAIN" in missing.err


def test_status_ports_shows_drops_by_reason(busy: Weft, weftd: Weftd) -> None:
    (port,) = [one for one in json.loads(busy("ps", "--json").out)["ports"] if one["device"]]
    counters = FakeCounters(10**12, 10**15, 3, 4200, {"spoofed_address": 12, "isolated": 4})
    weftd.engine.traffic = {port["device"]["ifname"]: counters}
    ran = busy("status", "ports")
    assert "12 spoofed_address" in ran.out
    assert "4.2 kB" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_status_problems_exits_with_1_when_there_are_some(busy: Weft, weftd: Weftd) -> None:
    assert busy("status", "problems").out == "no problems\n"
    weftd.engine.failed = [Failure(RowKey("nftables", "x"), [], "nft: no such file")]
    ran = busy("status", "problems")
    assert ran.code == 1
    assert "nft: no such file" in ran.out
    assert "see weft status problems" in busy("status").out


def test_socket_is_found_by_option_environment_and_file(
    weftd: Weftd, weft: Weft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_dir = weftd.settings.run_dir
    monkeypatch.setenv("WEFT_RUN_DIR", str(tmp_path))
    assert weft("ps").code == 1
    assert weft("--run-dir", run_dir, "ps").code == 0
    monkeypatch.delenv("WEFT_RUN_DIR")
    file = tmp_path / "weft.toml"
    file.write_text(f'run_dir = "{run_dir}"\n')
    assert weft("--config", str(file), "ps").code == 0
    file.write_text('run_dri = "x"\n')
    wrong = weft("--config", str(file), "ps")
    assert wrong.code == 1
    assert "did you mean 'run_dir'?" in wrong.err


def test_version_without_weftd(weft: Weft) -> None:
    assert weft("version").out.startswith("weft ")
    facts = json.loads(weft("version", "--json").out)
    assert set(facts) == {"version", "python", "kernel", "bpf_compiler"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_for_the_shell(weft: Weft, shell: str) -> None:
    ran = weft("completion", shell)
    assert ran.code == 0
    assert "_WEFT_COMPLETE" in ran.out


def complete(*words: str) -> list[str]:
    """What bash would be offered after these words; the last one is unfinished."""
    from click.shell_completion import BashComplete

    completer = BashComplete(cli, {}, "weft", "_WEFT_COMPLETE")
    return [item.value for item in completer.get_completions(list(words[:-1]), words[-1])]


def test_names_of_networks_and_ports_are_completed(busy: Weft) -> None:
    assert complete("network", "inspect", "f") == ["foo"]
    assert complete("attach", "web", "a") == ["a-network-with-quite-a-long-name"]
    assert complete("port", "rm", "b") == ["box"]
    assert "network" in complete("n")


def test_completion_is_quietly_empty_without_weftd(weft: Weft) -> None:
    assert complete("network", "inspect", "f") == []
    assert complete("port", "rm", "") == []


def test_ports_are_listed_by_as_much_of_their_ids_as_tells_them_apart() -> None:
    assert enough_of([]) == enough_of(["0a1b2c3d-1", "0a1b2c3e-1"]) == 8
    assert enough_of(["0a1b2c3d-1", "0a1b2c3d-2", "0a1b2c3d-2"]) == 10
