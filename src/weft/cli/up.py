"""``weft up``: start weftd, wait until it is ready, and say what to do next."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import click

from weft import config
from weft.api.schema import HostList, Scalar, StatusInfo
from weft.cli import daemon_process, joining
from weft.cli.down import stop
from weft.cli.output import json_option, print_json, progress
from weft.cli.session import connect
from weft.cli.settings_options import Flags, absolute, settings_options, to_environment
from weft.cli.token import read_token
from weft.config import Settings
from weft.errors import ConflictError, UnavailableError, WeftError
from weft.etcd import address
from weft.model.codec import convert, to_builtins

READY_S = 600.0
"""How long a weftd that lives may take until it is ready, before it is given up and ended. It takes
a second, on a crowded or emulated machine minutes; one that fails ends by itself, at once."""
PLUGIN_S = 5.0
"""And until Docker can reach it, if it is to serve Docker."""
JOIN_S = 30.0
"""And until another host of the cluster is linked, while nothing says why none is."""
REFUSED_S = 3.0
"""The same, when it is known why none is."""
POLL_S = 0.02


@click.command()
@click.option("--foreground", is_flag=True, help="Stay in this process; log to standard error.")
@click.option(
    "--token",
    help="Of the cluster to join; - reads it from standard input. Also in WEFT_JOIN_TOKEN.",
)
@click.option(
    "--token-file", type=click.Path(path_type=Path, dir_okay=False), help="A file that holds it."
)
@json_option
@settings_options
def up(
    foreground: bool, token: str | None, token_file: Path | None, as_json: bool, **flags: object
) -> None:
    """Start weftd on this host, on the first host or (with --join) as one more of its cluster.

    When it runs already, say so and change nothing. With --join, a host that runs alone joins, and
    its networks and ports come along. Whom to join is remembered.

    A flag beats the environment (WEFT_UNDERLAY_DEVICE=eth1), which beats the settings file.

    \b
    Examples:
      weft up
      weft up --join 192.0.2.10 --token weft1…
      weft up --join 192.0.2.10,192.0.2.11 --token-file /run/token
      weft up --store etcd://192.0.2.1,192.0.2.2,192.0.2.3 --etcd-ca-file ca.pem
      weft up --underlay-device eth1 --metrics 127.0.0.1:9090
      weft up --foreground --log-level debug
    """
    given = absolute(flags)
    settings = config.load(given)
    if os.geteuid() != 0:
        raise UnavailableError("weft up: needs root, to load BPF programs and make devices")
    address.check(settings)
    wanted = joining.plan(settings, joining.read_token(token, token_file, os.environ))
    running = _running(settings)
    if running is not None and not _is_joining(settings, given, running, wanted):
        _check_same(settings, given, running)
        _report(running, "running", as_json)
        return
    if running is not None:
        settings = _settings_of(running, given)
        with progress("stopping weftd"):
            stop(settings)
    joining.write(settings, wanted)
    environment = {**os.environ, **to_environment(settings)}
    environment.pop(joining.TOKEN_VARIABLE, None)
    if foreground:
        os.chdir("/")
        sys.stdout.flush()
        os.execve(daemon_process.COMMAND[0], daemon_process.COMMAND, environment)
    with progress("starting weftd"):
        status = _start(settings, environment)
        _wait_for_plugin(settings)
    hosts = _wait_for_links(settings) if wanted.is_first else None
    _report(status, "started", as_json)
    if hosts is not None:
        _report_joined(settings, hosts)


def _is_joining(
    settings: Settings, given: Flags, running: StatusInfo, wanted: joining.Plan
) -> bool:
    """Whether a weftd that runs must start again for it."""
    has_other_join = "join" in given and running.settings.get("join") != settings.join
    return wanted.token is not None or has_other_join


def _settings_of(running: StatusInfo, given: Flags) -> Settings:
    """Those that it runs with, and what is asked for now."""
    return convert({**running.settings, **given}, Settings)


def _wait_for_links(settings: Settings) -> HostList:
    """Until another host is linked, or a while has gone by."""
    client = connect(5.0, settings.api_socket)
    began_s = time.monotonic()
    with progress("looking for the cluster"):
        while True:
            hosts = client.get(HostList, "hosts")
            waited_s = time.monotonic() - began_s
            is_refused = any(one.is_outgoing for one in hosts.attempts)
            if waited_s > (REFUSED_S if is_refused else JOIN_S):
                return hosts
            if any(host.state == "connected" for host in hosts.hosts):
                return hosts
            time.sleep(POLL_S)


def _report_joined(settings: Settings, hosts: HostList) -> None:
    """Exit code 1 when nobody of the cluster answers."""
    others = [host for host in hosts.hosts if not host.is_local]
    if any(host.state == "connected" for host in others):
        click.echo(f"Joined the cluster: {len(others) + 1} hosts; see: weft status hosts", err=True)
        return
    click.echo(f"weft: no host of the cluster at {settings.join} is linked yet:", err=True)
    for attempt in [one for one in hosts.attempts if one.is_outgoing]:
        click.echo(f"  {attempt.address}: {attempt.reason}", err=True)
        click.echo(f"    {attempt.fix}", err=True)
    click.echo("  weftd runs and keeps trying; see: weft status hosts", err=True)
    click.get_current_context().exit(1)


def _running(settings: Settings) -> StatusInfo | None:
    """The state of the weftd that runs already, ready or nearly so."""
    try:
        status = connect(path=settings.api_socket).get(StatusInfo, "status")
    except UnavailableError:
        pid = daemon_process.find(settings)
        return None if pid is None else _wait_for(settings, pid)
    return status if status.is_ready else _wait_for(settings, status.pid)


def _wait_for(settings: Settings, pid: int) -> StatusInfo:
    with progress(f"waiting for weftd (pid {pid})"):
        return _wait(settings, lambda: daemon_process.is_weftd(pid), since=0)


def _start(settings: Settings, environment: dict[str, str]) -> StatusInfo:
    log = daemon_process.log_file(settings)
    since = log.stat().st_size if log.exists() else 0
    process = daemon_process.start(settings, environment)
    try:
        status = _wait(settings, lambda: process.poll() is None, since)
    except WeftError:
        _end(process)
        raise
    if status.pid != process.pid:
        _end(process)  # two were started at once; this one would come up when the other has ended
    return status


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(settings: Settings, is_alive: daemon_process.IsAlive, since: int) -> StatusInfo:
    client = connect(5.0, settings.api_socket)
    deadline = time.monotonic() + READY_S
    reason = "it did not begin to listen"
    while time.monotonic() < deadline:
        # When two were started at once, the other one's weftd will do.
        if not is_alive() and daemon_process.find(settings) is None:
            raise UnavailableError(_failure(settings, "weftd ended while it started", since))
        try:
            status = client.get(StatusInfo, "status")
            if status.is_ready:
                return status
            reason = "it did not finish its first look at the kernel"
        except UnavailableError as error:
            reason = str(error)
        time.sleep(POLL_S)
    raise UnavailableError(
        _failure(settings, f"weftd was not ready within {READY_S:g} s: {reason}", since)
    )


def _wait_for_plugin(settings: Settings) -> None:
    """Docker may be asked at once, so its plugin should be there; weft doctor says why if not."""
    link = Path(settings.docker_plugin_dir) / "weft.sock"
    deadline = time.monotonic() + PLUGIN_S
    while settings.docker and not link.exists():
        if time.monotonic() > deadline:
            click.echo("weft: Docker's plugin is not served; see weft doctor", err=True)
            return
        time.sleep(POLL_S)


def _failure(settings: Settings, what: str, since: int) -> str:
    log = daemon_process.log_file(settings)
    lines = daemon_process.last_lines(log, since=since)
    return "\n".join([f"{what}; the end of {log}:", *(f"  {line}" for line in lines)])


def _check_same(settings: Settings, given: Flags, running: StatusInfo) -> None:
    wanted = cast("dict[str, Scalar]", to_builtins(settings))
    usual = cast("dict[str, Scalar]", to_builtins(Settings()))
    different = [
        f"{name} is {running.settings.get(name)!r}, not {value!r}"
        for name, value in wanted.items()
        if running.settings.get(name) != value and (name in given or value != usual[name])
    ]
    if different:
        raise ConflictError(
            f"weftd runs already (pid {running.pid}) with other settings:"
            f" {'; '.join(different)}. Run weft down, then weft up again; ports go on meanwhile"
        )


def _report(status: StatusInfo, state: str, as_json: bool) -> None:
    if as_json:
        print_json({"state": state, "status": status})
        return
    if state == "running":
        click.echo(f"weftd {status.version} runs already on {status.host.name}, pid {status.pid}.")
        return
    took_s = max(0.0, time.time() - status.started_s)
    click.echo(
        f"weftd {status.version} is ready on {status.host.name} (pid {status.pid}, {took_s:.1f} s)."
    )
    if status.network_count:
        click.echo(f"{status.network_count} networks, {status.port_count} ports; see: weft ps")
    else:
        _tell_next(status)
    if status.host_count == 1 and not status.settings.get("join"):
        _tell_others(status)
    if status.problem_count:
        click.echo(f"{status.problem_count} problems; see: weft status problems")


def _tell_others(status: StatusInfo) -> None:
    """How they join. The token is read from its file; no answer of weftd holds it."""
    settings = convert(status.settings, Settings)
    token = read_token(Path(settings.state_dir))
    usual_port, store = Settings().mesh_port, joining.store_words(settings)
    line = joining.join_line(status.host.address, settings.mesh_port, usual_port, token, store)
    click.echo("On every other host:")
    click.echo(f"  {line}")


def _tell_next(status: StatusInfo) -> None:
    click.echo("Next:")
    click.echo("  weft network create foo --subnet 192.168.1.0/24")
    click.echo("  weft attach CONTAINER foo")
    if status.settings.get("docker"):
        click.echo("  docker network create -d weft --subnet=192.168.2.0/24 bar")
