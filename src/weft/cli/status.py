"""``weft status``: weftd at a glance, then hosts, counters and problems one by one."""

from __future__ import annotations

import time

import click

from weft.api.schema import (
    ConflictList,
    CountersList,
    HostList,
    ProblemList,
    StatusInfo,
    StoreInfo,
)
from weft.cli.output import duration_text, json_option, print_facts, print_json, progress
from weft.cli.session import connect
from weft.cli.status_ipam import ipam
from weft.config import Settings
from weft.errors import InvalidError
from weft.model.codec import convert


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show weftd, hosts, counters, problems and conflicts.

    \b
    Examples:
      weft status
      weft status ports
      weft status problems --json
    """
    if context.invoked_subcommand is None:
        _overview(as_json)


status.add_command(ipam)


@status.command()
@json_option
def multicast(as_json: bool) -> None:
    """Show the multicast groups that have members, and on which hosts.

    \b
    Examples:
      weft status multicast
      weft status multicast --json
    """
    from weft.cli.multicast import show_groups

    show_groups(None, as_json)


def _overview(as_json: bool) -> None:
    answer = connect().get(StatusInfo, "status")
    if as_json:
        print_json(answer)
        return
    state = "ready" if answer.is_ready else "starting"
    up = duration_text(time.time() - answer.started_s)
    click.echo(f"weftd {answer.version} on {answer.host.name}: {state}, pid {answer.pid}, up {up}")
    underlay = ", ".join(answer.host.underlay) or "no address"
    print_facts(
        [
            ("underlay", f"{underlay}, MTU {answer.host.mtu_bytes}"),
            ("hosts", _hosts_text(answer)),
            *_store_facts(answer.store),
            ("networks", str(answer.network_count)),
            ("ports", str(answer.port_count)),
            ("problems", _problems_text(answer.problem_count)),
            *_conflicts_facts(answer),
            *_settings_facts(answer),
        ]
    )


def _hosts_text(answer: StatusInfo) -> str:
    if answer.is_removed:
        return "this host was removed from its cluster; see weft status problems"
    if not answer.lost_host_count:
        return str(answer.host_count)
    return f"{answer.host_count}, {answer.lost_host_count} not reached; see weft status hosts"


def _store_facts(store: StoreInfo) -> list[tuple[str, str]]:
    """Nothing is said of the mesh: it is where hosts are."""
    if store.kind == "mesh":
        return []
    name = f"{store.kind} {store.where}".strip()
    facts = [("store", f"{name}, in step")]
    if store.reason:
        since = duration_text(time.time() - store.since_s) if store.since_s else "its start"
        text = f"{name} does not serve since {since}, {store.waiting_count} writes wait"
        facts = [("store", f"{text}; see weft status problems")]
    return [*facts, *(("", member) for member in store.members)]


def _problems_text(count: int) -> str:
    return f"{count}; see weft status problems" if count else "none"


def _conflicts_facts(answer: StatusInfo) -> list[tuple[str, str]]:
    count = answer.conflict_count
    return [("conflicts", f"{count}; see weft status conflicts")] if count else []


def _settings_facts(answer: StatusInfo) -> list[tuple[str, str]]:
    try:
        settings = convert(answer.settings, Settings)
    except InvalidError:
        return []
    facts = [("api", str(settings.api_socket))]
    if settings.docker:
        facts.append(("docker", f"plugin {settings.docker_plugin_dir}/weft.sock"))
    if settings.metrics:
        facts.append(("metrics", f"http://{settings.metrics}/metrics"))
    return facts


@status.command()
@json_option
def hosts(as_json: bool) -> None:
    """Show the hosts: state and since when, way there, and if something is wrong, what to do.

    PATH is how packets of networks get there; the second line says whether they are encrypted.
    CLOCK is how far the host's clock is ahead of this one's.

    \b
    Examples:
      weft status hosts
      weft status hosts --json
    """
    from weft.cli.hosts_table import print_hosts

    answer = connect().get(HostList, "hosts")
    if as_json:
        print_json(answer)
    else:
        print_hosts(answer, time.time())


@status.command()
@click.option("--all", "is_all", is_flag=True, help="The ports of all hosts.")
@json_option
def ports(is_all: bool, as_json: bool) -> None:
    """Show what each port of this host received, sent, and had dropped, by reason.

    Below, if there is any, what came from other hosts, or claimed to, and was dropped. With --all
    the other hosts are asked; one that does not answer is named.

    \b
    Examples:
      weft status ports
      weft status ports --all
      weft status ports --json
    """
    from weft.cli.counters_table import print_counters

    query = {"all": "true" if is_all else None}
    with progress("asking the other hosts" if is_all else "reading counters"):
        answer = connect().get(CountersList, "counters", query=query)
    if as_json:
        print_json(answer)
    else:
        print_counters(answer, has_hosts=is_all)


@status.command()
@json_option
def problems(as_json: bool) -> None:
    """Show what is wanted and could not be made true. Exit code 1 when there is something.

    \b
    Examples:
      weft status problems
    """
    answer = connect().get(ProblemList, "problems")
    if as_json:
        print_json(answer)
    elif not answer.problems:
        click.echo("no problems")
    for one in () if as_json else answer.problems:
        click.echo(f"{one.kind} {one.name}: {one.reason}".strip())
        click.echo(f"  {one.fix}")
    if answer.problems:
        click.get_current_context().exit(1)


@status.command()
@json_option
def conflicts(as_json: bool) -> None:
    """Show what hosts did apart that does not go together. Exit code 1 when there is something.

    \b
    Examples:
      weft status conflicts
    """
    answer = connect().get(ConflictList, "conflicts")
    if as_json:
        print_json(answer)
    elif not answer.conflicts:
        click.echo("no conflicts")
    for one in () if as_json else answer.conflicts:
        click.echo(one.reason)
        click.echo(f"  {one.fix}")
    if answer.conflicts:
        click.get_current_context().exit(1)
