"""``weft apply`` and ``weft export``: objects as files describe them."""

from __future__ import annotations

from collections.abc import Sequence

import click
import msgspec

from weft.api.apply.schema import AppliedChange, ApplyInfo, ApplyRequest, ExportInfo
from weft.cli.output import json_option, print_json, progress
from weft.cli.session import connect
from weft.errors import WeftError

_SIGNS = {"create": "+", "change": "~", "keep": " ", "remove": "-"}
_DONE = {"create": "made", "change": "changed", "keep": "as it should be", "remove": "removed"}
_TO_DO = {
    "create": "would be made",
    "change": "would be changed",
    "keep": "is as it should be",
    "remove": "would be removed",
}


@click.command()
@click.option(
    "-f",
    "--file",
    "files",
    metavar="FILE",
    multiple=True,
    help="YAML or JSON; - is standard input; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Change nothing, and show what would be changed.")
@click.option("--owner", help="Whose the objects are, so that --prune knows them.")
@click.option("--prune", is_flag=True, help="Remove the owner's objects that no FILE names.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of the files, for editors.")
@json_option
def apply(
    files: tuple[str, ...],
    dry_run: bool,
    owner: str | None,
    prune: bool,
    schema: bool,
    as_json: bool,
) -> None:
    """Make tenants, networks, groups, ports and so on as files describe them: all, or none.

    What is there already is changed where it differs; a second run changes nothing. What a file
    leaves out stays as it is.

    \b
    Examples:
      weft apply -f shop.yaml --dry-run
      weft apply -f networks.yaml -f names.yaml
      weft apply -f shop.yaml --owner shop --prune
      weft export | weft --run-dir /run/other apply -f -
      weft apply --schema
    """
    if schema:
        _print_schema()
        return
    if not files:
        raise click.UsageError("say at least one --file, or --schema")
    if prune and owner is None:
        raise click.UsageError("--prune needs --owner: only what is an owner's is ever removed")
    answer = _send(files, owner=owner, is_pruned=prune, is_dry_run=dry_run)
    if as_json:
        print_json(answer)
    else:
        _show(answer)


@click.command()
@click.option("--owner", help="Only what weft apply --owner made for this one.")
@json_option
def export(owner: str | None, as_json: bool) -> None:
    """Print what there is as files describe it, for weft apply.

    \b
    Examples:
      weft export > all.yaml
      weft export --owner shop
      weft export --json
    """
    answer = connect().get(ExportInfo, "export", query={"owner": owner})
    if as_json:
        print_json(answer)
        return
    from weft.cli.yaml_text import dump

    click.echo(dump(answer.documents), nl=False)


def _send(
    files: Sequence[str], *, owner: str | None, is_pruned: bool, is_dry_run: bool
) -> ApplyInfo:
    from weft.cli.documents import located, read_files

    documents = read_files(files)
    request = ApplyRequest(
        documents=tuple(msgspec.Raw(msgspec.json.encode(each.value.plain())) for each in documents),
        owner=owner,
        is_pruned=is_pruned,
        is_dry_run=is_dry_run,
    )
    try:
        with progress(f"applying {len(documents)} documents"):
            return connect().send(ApplyInfo, "POST", "apply", body=request)
    except WeftError as error:
        text = located(str(error), documents)
        if text == str(error):
            raise
        raise type(error)(text) from error


def _print_schema() -> None:
    from weft.api.apply.json_schema import for_editors

    print_json(for_editors())


def _show(answer: ApplyInfo) -> None:
    words = _TO_DO if answer.is_dry_run else _DONE
    for one in answer.changes:
        click.echo(f"{_SIGNS[one.action]} {one.kind} {one.name}: {words[one.action]}")
        for field in one.fields:
            click.echo(f"    {field.field}: {_text(field.old)} -> {_text(field.new)}")
    click.echo(_sum(answer.changes, is_dry_run=answer.is_dry_run))


def _sum(changes: Sequence[AppliedChange], *, is_dry_run: bool) -> str:
    counts = [
        f"{count} {words}"
        for action, words in (_TO_DO if is_dry_run else _DONE).items()
        if action != "keep" and (count := sum(one.action == action for one in changes))
    ]
    return ", ".join(counts) if counts else "nothing to change"


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
