"""``weft policy``: what security groups say, without sending a packet."""

from __future__ import annotations

import click

from weft.api.schema.policy import JudgedEnd, JudgementInfo, PolicyTestInfo
from weft.cli import types
from weft.cli.output import json_option, print_json
from weft.cli.session import connect
from weft.control.rule_text import protocol_word

_VERDICTS = {
    "allowed": "allowed",
    "dropped": "dropped",
    "rejected": "rejected, and its sender is told",
    "no-way": "nothing leads there",
}
_DONE = {"allow": "allowed", "drop": "dropped", "reject": "rejected"}


@click.group()
def policy() -> None:
    """Ask what security groups say of a flow."""


@policy.command()
@click.argument("source", metavar="FROM", type=types.PORT)
@click.argument("destination", metavar="TO", type=types.PORT)
@click.option("--tcp", type=click.IntRange(0, 65535), metavar="PORT", help="To this TCP port.")
@click.option("--udp", type=click.IntRange(0, 65535), metavar="PORT", help="To this UDP port.")
@click.option("--sctp", type=click.IntRange(0, 65535), metavar="PORT", help="To this SCTP port.")
@click.option(
    "--icmp", metavar="TYPE[/CODE]", help="Of this type, of ICMPv6 where the ends are [a ping]."
)
@click.option("--protocol", help="Another protocol, by name or number.")
@click.option("--source-port", type=click.IntRange(0, 65535), help="Of the sender [any].")
@click.option("--ipv4", "family", flag_value="4", help="By IPv4 [if both ends have it].")
@click.option("--ipv6", "family", flag_value="6", help="By IPv6.")
@json_option
def test(
    source: str,
    destination: str,
    tcp: int | None,
    udp: int | None,
    sctp: int | None,
    icmp: str | None,
    protocol: str | None,
    source_port: int | None,
    family: str | None,
    as_json: bool,
) -> None:
    """Say what becomes of a flow FROM one end TO another, and which rule decides.

    FROM and TO are a port's name or id, a container's name, or an address; one at least is a port.
    Without a protocol it is a ping. Records alone are asked: no packet is sent. Exit code 1 when it
    is not allowed.

    \b
    Examples:
      weft policy test web store --tcp 5432
      weft policy test web.back 10.9.0.7 --udp 53
      weft policy test 203.0.113.9 web --tcp 443
      weft policy test web store --ipv6
    """
    query = {"source": source, "destination": destination, "family": family}
    query |= _flow(tcp, udp, sctp, icmp, protocol)
    if source_port is not None:
        query["source_port"] = str(source_port)
    answer = connect().get(PolicyTestInfo, "policy", "test", query=query)
    if as_json:
        print_json(answer)
    else:
        _tell(answer)
    if answer.verdict != "allowed":
        click.get_current_context().exit(1)


def _flow(
    tcp: int | None, udp: int | None, sctp: int | None, icmp: str | None, protocol: str | None
) -> dict[str, str | None]:
    ports = {"tcp": tcp, "udp": udp, "sctp": sctp}
    said = [word for word, port in ports.items() if port is not None]
    said += [word for word, value in (("icmp", icmp), ("protocol", protocol)) if value is not None]
    if len(said) > 1:
        raise click.UsageError(f"--{said[0]} and --{said[1]}: a flow has one protocol")
    if not said:
        return {}
    (word,) = said
    if word in ports:
        return {"protocol": word, "port": str(ports[word])}
    if word == "protocol":
        return {"protocol": protocol}
    type_, slash, code = (icmp or "").partition("/")
    return {"icmp_type": type_, **({"icmp_code": code} if slash else {})}


def _tell(answer: PolicyTestInfo) -> None:
    what = f"{_end(answer.source)} -> {_end(answer.destination)}, {_packet(answer)}"
    click.echo(f"{what}: {_VERDICTS.get(answer.verdict, answer.verdict)}")
    if answer.routers:
        click.echo(f"  by way of router {', '.join(answer.routers)}")
    if answer.obstacle:
        click.echo(f"  {answer.obstacle}")
    for each in answer.judgements:
        click.echo(f"  {_judgement(each)}")


def _end(end: JudgedEnd) -> str:
    if end.name is not None:
        return f"{end.name} on {end.network} ({end.address})"
    return end.address if end.network is None else f"{end.address} on {end.network}"


def _packet(answer: PolicyTestInfo) -> str:
    words = [str(protocol_word(answer.protocol))]
    if answer.port is not None:
        words.append(str(answer.port))
    if answer.icmp_type is not None:
        words.append(f"{answer.icmp_type}/{answer.icmp_code}")
    return " ".join(words)


def _judgement(each: JudgementInfo) -> str:
    verdict = _DONE.get(each.verdict, each.verdict)
    return f"{each.direction} of {each.name}: {verdict}: {each.reason}"
