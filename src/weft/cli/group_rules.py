"""``weft group rule``: the rules of a security group, one by one."""

from __future__ import annotations

import click

from weft.api.schema import RuleInfo, RuleList, RuleRequest
from weft.cli import types
from weft.cli.output import json_option, print_json, print_table, progress
from weft.cli.ports_table import enough_of
from weft.cli.rule_options import rule_from, rule_options
from weft.cli.session import connect
from weft.errors import WeftError


@click.group()
def rule() -> None:
    """Add, list, change and remove the rules of a group.

    A rule is given by options, or as one text as `weft group rule ls` shows it.
    """


@rule.command()
@click.argument("group", type=types.SECURITY_GROUP)
@click.argument("words", metavar="ACTION DIRECTION | TEXT", nargs=-1, required=True)
@rule_options
@json_option
def add(group: str, words: tuple[str, ...], as_json: bool, **given: object) -> None:
    """Add a rule to GROUP: an ACTION (allow, drop, reject, pass) on flows of its members.

    DIRECTION is ingress or egress, as the members see it. Without options it is about every flow.

    \b
    Examples:
      weft group rule add web allow ingress --tcp 80-90 --from group:lb
      weft group rule add web drop egress --to 10.0.0.0/8 --except 10.1.0.0/16
      weft group rule add web reject ingress --udp --from label:zone=test
      weft group rule add web allow ingress --icmp 8 --log 10/s
      weft group rule add web "allow ingress tcp 443 from any (TLS for all)"
    """
    body = RuleRequest(rule=rule_from(words, given))
    with progress(f"adding a rule to group {group}"):
        made = connect().send(RuleInfo, "POST", "groups", group, "rules", body=body)
    _show(made, group, as_json)


@rule.command("set")
@click.argument("group", type=types.SECURITY_GROUP)
@click.argument("rule", metavar="RULE")
@click.argument("words", metavar="ACTION DIRECTION | TEXT", nargs=-1, required=True)
@rule_options
@json_option
def set_(group: str, rule: str, words: tuple[str, ...], as_json: bool, **given: object) -> None:
    """Put another rule in the place of RULE, in one step.

    RULE is its id, the beginning of its id, or its text.

    \b
    Examples:
      weft group rule set web 5f2a8c01 allow ingress --tcp 443
      weft group rule set web "allow ingress tcp 80 from any" drop ingress --tcp
    """
    body = RuleRequest(rule=rule_from(words, given))
    with progress(f"changing a rule of group {group}"):
        made = connect().send(RuleInfo, "PUT", "groups", group, "rules", rule, body=body)
    _show(made, group, as_json)


@rule.command("ls")
@click.argument("group", type=types.SECURITY_GROUP)
@json_option
def list_(group: str, as_json: bool) -> None:
    """List the rules of GROUP, in the order in which they are asked.

    \b
    Examples:
      weft group rule ls web
      weft group rule ls acme/web --json
    """
    answer = connect().get(RuleList, "groups", group, "rules")
    if as_json:
        print_json(answer)
        return
    length = enough_of([one.id for one in answer.rules])
    print_table(["ID", "RULE"], [[one.id[:length], one.text] for one in answer.rules])


@rule.command()
@click.argument("group", type=types.SECURITY_GROUP)
@click.argument("rules", metavar="RULE...", nargs=-1, required=True)
@json_option
def rm(group: str, rules: tuple[str, ...], as_json: bool) -> None:
    """Take rules from GROUP, by id or text. The first that fails does not stop the rest.

    \b
    Examples:
      weft group rule rm web 5f2a8c01
      weft group rule rm web "allow ingress tcp 80 from any"
    """
    removed, errors = [], []
    for one in rules:
        try:
            connect().delete("groups", group, "rules", one)
            removed.append(one)
        except WeftError as error:
            errors.append(error)
    if as_json:
        print_json({"removed": removed})
    else:
        for one in removed:
            click.echo(f"rule {one} of group {group}: removed")
    if errors:
        raise ExceptionGroup("rules not removed", errors)


def _show(made: RuleInfo, group: str, as_json: bool) -> None:
    if as_json:
        print_json(made)
    else:
        click.echo(f"rule {made.id[:8]} of group {group}: {made.text}")
