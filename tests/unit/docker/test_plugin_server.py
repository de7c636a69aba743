"""The plugin as a server: what every call gets, whatever is sent."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.docker.plugin import plugin
from weft.frontends.docker.protocol import Empty
from weft.frontends.docker.server import CONTENT_TYPE, Method, PluginServer

NETWORK_METHODS = {
    "GwAllocCheck": "Options",
    "AllocateNetwork": "NetworkID",
    "FreeNetwork": "NetworkID",
    "CreateNetwork": "NetworkID",
    "DeleteNetwork": "NetworkID",
    "CreateEndpoint": "EndpointID",
    "DeleteEndpoint": "EndpointID",
    "EndpointOperInfo": "EndpointID",
    "Join": "EndpointID",
    "Leave": "EndpointID",
    "ProgramExternalConnectivity": "EndpointID",
    "RevokeExternalConnectivity": "EndpointID",
    "DiscoverNew": "DiscoveryType",
    "DiscoverDelete": "DiscoveryType",
}
IPAM_METHODS = {
    "RequestPool": "Pool",
    "ReleasePool": "PoolID",
    "RequestAddress": "PoolID",
    "ReleaseAddress": "PoolID",
}
FIELDS = {f"NetworkDriver.{name}": key for name, key in NETWORK_METHODS.items()} | {
    f"IpamDriver.{name}": key for name, key in IPAM_METHODS.items()
}


async def test_activation_names_both_drivers() -> None:
    async with plugin() as docker:
        status, answer, content_type = await docker.post("Plugin.Activate", b"")
    assert status == 200
    assert answer == {"Implements": ["NetworkDriver", "IpamDriver"]}
    assert content_type == CONTENT_TYPE


async def test_capabilities() -> None:
    async with plugin() as docker:
        assert await docker.call("NetworkDriver.GetCapabilities") == {
            "Scope": "local",
            "ConnectivityScope": "global",
            "GwAllocChecker": True,
        }
        assert await docker.call("IpamDriver.GetCapabilities") == {
            "RequiresMACAddress": False,
            "RequiresRequestReplay": False,
        }
        spaces = await docker.call("IpamDriver.GetDefaultAddressSpaces")
    assert spaces["LocalDefaultAddressSpace"] and spaces["GlobalDefaultAddressSpace"]


@pytest.mark.parametrize("method", FIELDS)
async def test_a_field_of_the_wrong_type_is_named_and_changes_nothing(method: str) -> None:
    field = FIELDS[method]
    request = {"NetworkID": "n", "EndpointID": "e", "PoolID": "p"} | {field: [1]}
    async with plugin() as docker:
        _, answer, _ = await docker.post(method, json.dumps(request).encode())
        assert docker.records() == {}
    assert field in answer["Err"]
    assert answer["Error"] == answer["Err"]


@pytest.mark.parametrize("method", FIELDS)
async def test_broken_json_is_a_sentence(method: str) -> None:
    async with plugin() as docker:
        for body in (b'{"NetworkID": ', b"\xff\xfe", b"[" * 100_000, b"[]", b"nonsense"):
            status, answer, _ = await docker.post(method, body)
            assert status == 400
            assert answer["Err"].startswith(method)
        assert docker.records() == {}


async def test_a_missing_id_is_named() -> None:
    async with plugin() as docker:
        assert "NetworkID" in (await docker.call("NetworkDriver.DeleteNetwork"))["Err"]
        answer = await docker.call("NetworkDriver.DeleteNetwork", {"NetworkID": ""})
        assert "NetworkID" in answer["Err"]


async def test_unknown_fields_and_nulls_are_accepted() -> None:
    async with plugin() as docker:
        answer = await docker.network(
            "CreateNetwork",
            NetworkID="n",
            Options=None,
            IPv4Data=[{"AddressSpace": "", "Pool": "10.9.0.0/24", "AuxAddresses": None, "X": 1}],
            IPv6Data=None,
            NewInDocker99={"a": [1]},
        )
        assert answer == {}


async def test_a_body_of_seventy_megabytes_is_refused_with_a_sentence() -> None:
    async with plugin() as docker:
        status, answer, _ = await docker.post("NetworkDriver.CreateNetwork", b"x" * 70_000_000)
        assert status == 413
        assert "larger than 64 MiB" in answer["Err"]
        assert await docker.call("Plugin.Activate")


async def test_an_unknown_method_is_not_found() -> None:
    async with plugin() as docker:
        status, answer, _ = await docker.post("NetworkDriver.Frobnicate", b"{}")
        assert status == 404
        assert "NetworkDriver.Frobnicate" in answer["Err"]
        async with docker.session.get("http://docker/Plugin.Activate") as response:
            assert response.status == 405


async def test_a_call_that_hangs_is_ended_and_one_that_fails_is_answered() -> None:
    async def hang(_: Empty) -> Empty:
        await asyncio.Event().wait()
        return Empty()

    async def fail(_: Empty) -> Empty:
        raise ZeroDivisionError

    server = PluginServer({"Hang": Method(Empty, hang), "Fail": Method(Empty, fail)}, 0.05)
    async with plugin() as docker:
        docker.frontend._server._methods = server._methods
        docker.frontend._server._deadline_s = 0.05
        assert "within" in (await docker.call("Hang"))["Err"]
        assert "its log says why" in (await docker.call("Fail"))["Err"]
        assert "its log says why" in (await docker.call("Fail"))["Error"]


async def test_a_request_that_never_ends_is_ended() -> None:
    async with plugin() as docker:
        docker.frontend._server._deadline_s = 0.05
        reader, writer = await asyncio.open_unix_connection(str(docker.socket))
        writer.write(b"POST /Plugin.Activate HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        async with asyncio.timeout(5):
            answer = await reader.readuntil(b"}")
        assert b"408" in answer.splitlines()[0]
        assert b"did not end in time" in answer
        writer.close()
        await writer.wait_closed()


async def test_the_socket_is_for_root_alone_and_goes_with_the_plugin() -> None:
    async with plugin() as docker:
        mode = docker.socket.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        assert stat.S_IMODE(docker.socket.parent.stat().st_mode) & 0o022 == 0
        docker.socket.unlink()
    assert not docker.socket.is_symlink()


def test_dockers_way_to_the_plugin_ends_with_the_process_even_when_it_is_killed(
    tmp_path: Path,
) -> None:
    (tmp_path / "etc").mkdir()
    script = (
        "import signal, sys\n"
        "from weft.config import Settings\n"
        "from weft.frontends.docker.plugin_socket import PluginSocket\n"
        "at = sys.argv[1]\n"
        "s = Settings(run_dir=at+'/r', state_dir=at+'/s', docker_plugin_dir=at+'/p',"
        " docker_spec_dir=at+'/etc/p')\n"
        "with PluginSocket(s):\n"
        "    print('ready', flush=True)\n"
        "    signal.pause()\n"
    )
    link = tmp_path / "p/weft.sock"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "ready\n"
        assert link.is_socket()
        process.send_signal(signal.SIGKILL)
    assert not link.exists()
    specification = json.loads((tmp_path / "etc/p/weft.json").read_text())
    assert "weft up" in specification["TLSConfig"]["CAFile"]
