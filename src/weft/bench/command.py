"""``weft bench``: the command."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from weft.bench.plan import Plan
    from weft.bench.results import Results

    Part = Callable[[Plan, Results], None]

PARTS = (
    "path",
    "policy",
    "flows",
    "groups",
    "attach",
    "docker",
    "daemon",
    "dns",
    "hosts",
    "encryption",
    "join",
    "mesh",
)


@click.command()
@click.option("--quick", is_flag=True, help="Once and briefly: shows that it runs, no more.")
@click.option(
    "--only", multiple=True, type=click.Choice(PARTS), help="Only this part; may be repeated."
)
@click.option(
    "--beside",
    multiple=True,
    metavar="VARIANT",
    help="In path, policy and hosts: beside this alone, as tables call it; may be repeated.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/bench"),
    show_default=True,
    help="Folder for bench.txt, bench.json and bench.png.",
)
@click.option(
    "--markdown",
    is_flag=True,
    help="Measure nothing: print the tables of the bench.json in that folder as Markdown.",
)
def bench(
    quick: bool, only: tuple[str, ...], beside: tuple[str, ...], output: Path, markdown: bool
) -> None:
    """Measure Weft on this machine, beside what it is compared with.

    Needs root. Makes hosts in a lab of its own, takes an hour and a quarter, half of it for path
    and hosts, and leaves nothing behind. What is missed is said, not failed: machines differ.

    \b
    path    the packet path on one host
    policy  the packet path with rules and routers, on one host and between two
    flows   the table of connections: a million of them, a full one, one port's share
    groups  networks, ports and rules: compiled anew, changed, in force on all hosts
    attach  plugging in and out
    docker  docker run
    daemon  weftd: memory, start, many ports
    dns     queries
    hosts   the packet path between two hosts
    encryption  the same, encrypted
    join    a further host, and a new port as others see it
    mesh    replication in clusters of up to 1000 hosts and 100 000 ports

    \b
    weft bench
    weft bench --only path --only dns
    weft bench --only hosts --beside 'bpf vxlan' --beside underlay
    weft bench --quick
    weft bench --markdown
    """
    from weft.bench import report
    from weft.bench.environment import describe, warn_if_busy
    from weft.bench.host import NETWORK_MTU_BYTES
    from weft.bench.plan import Plan
    from weft.bench.results import Results
    from weft.errors import WeftError
    from weft.lab.lab import check_root

    if markdown:
        click.echo(report.as_markdown(output))
        return
    _check_known(beside)
    check_root()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended so, it clears up too
    output.mkdir(parents=True, exist_ok=True)
    plan = Plan(output, _progress(time.monotonic()), quick, frozenset(beside))
    results = Results(environment=describe(NETWORK_MTU_BYTES))
    for name, part in _parts().items():
        if only and name not in only:
            continue
        try:
            part(plan, results)
        except WeftError as error:
            results.skipped[name] = str(error)
    warn_if_busy(results)
    click.echo(report.table(results))
    for path in report.write(results, output):
        click.echo(f"written: {path}")


def _check_known(variants: tuple[str, ...]) -> None:
    from weft.bench import hosts, path, policy

    known = {*path.OTHERS, *policy.OTHERS, *hosts.OTHERS}
    unknown = [name for name in variants if name not in known]
    if unknown:
        listed = ", ".join(repr(name) for name in sorted(known))
        raise click.UsageError(
            f"--beside {unknown[0]!r}: there is no such variant; there are {listed}"
        )


def _parts() -> Mapping[str, Part]:
    return {
        "path": _path,
        "policy": _policy,
        "flows": _flows,
        "groups": _groups,
        "attach": _attach,
        "docker": _docker,
        "daemon": _daemon,
        "dns": _dns,
        "hosts": _hosts,
        "encryption": _encryption,
        "join": _join,
        "mesh": _mesh,
    }


def _path(plan: Plan, results: Results) -> None:
    from weft.bench import path
    from weft.bench.host import NETWORK_MTU_BYTES, weft_host
    from weft.bench.topology import RAW_VETH, WEFT
    from weft.errors import WeftError

    variants = dict(path.OTHERS)
    with ExitStack() as stack:
        try:
            weft = stack.enter_context(weft_host(plan.say))
            variants = {RAW_VETH: variants[RAW_VETH], WEFT: weft.pair, **variants}
        except WeftError as error:
            results.skipped[WEFT] = str(error)
        path.measure(plan, results, variants, NETWORK_MTU_BYTES)


def _policy(plan: Plan, results: Results) -> None:
    from weft.bench import policy

    policy.measure(plan, results)


def _flows(plan: Plan, results: Results) -> None:
    from weft.bench import flows

    flows.measure(plan, results)


def _groups(plan: Plan, results: Results) -> None:
    from weft.bench import groups

    groups.measure(plan, results)


def _attach(plan: Plan, results: Results) -> None:
    from weft.bench import attach
    from weft.bench.host import weft_host

    with weft_host(plan.say) as weft:
        attach.measure(plan, results, weft)


def _docker(plan: Plan, results: Results) -> None:
    from weft.bench import docker
    from weft.bench.host import weft_host

    with weft_host(plan.say, has_docker=True) as weft:
        docker.measure(plan, results, weft)


def _daemon(plan: Plan, results: Results) -> None:
    from weft.bench import daemon
    from weft.bench.host import weft_host

    with weft_host(plan.say) as weft:
        daemon.measure(plan, results, weft)


def _dns(plan: Plan, results: Results) -> None:
    from weft.bench import dns
    from weft.bench.host import weft_host

    with weft_host(plan.say) as weft:
        dns.measure(plan, results, weft)


def _hosts(plan: Plan, results: Results) -> None:
    from weft.bench import hosts

    hosts.measure(plan, results)


def _encryption(plan: Plan, results: Results) -> None:
    from weft.bench import encryption

    encryption.measure(plan, results)


def _join(plan: Plan, results: Results) -> None:
    from weft.bench import join

    join.measure(plan, results)


def _mesh(plan: Plan, results: Results) -> None:
    from weft.bench import mesh, quiet_hosts, remote, resync

    mesh.measure(plan, results)
    quiet_hosts.measure(plan, results)
    resync.measure(plan, results)
    remote.measure(plan, results)


def _progress(begin: float) -> Callable[[str], None]:
    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - begin:6.0f} s] {text}", err=True)

    return say
