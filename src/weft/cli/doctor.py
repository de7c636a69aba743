"""``weft doctor``: check this host and say what to do about each thing that is not right."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap

import click

from weft import config
from weft.api.client import Client
from weft.api.schema import FactsInfo, NetworkList, ProblemList, StatusInfo
from weft.cli.output import coloured, json_option, print_json, progress
from weft.config import Settings
from weft.doctor.examination import examine
from weft.doctor.finding import Daemon, Finding, Subject
from weft.errors import WeftError
from weft.printable import printable

DAEMON_TIMEOUT_S = 10.0
COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "bright_black"}
MARGIN = 9
"""Width of the column with the state."""


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check kernel, BPF, MTU, overlay, firewall, resolver, Docker, weftd and clock of this host.

    Works without weftd. Exit code 1: something failed. A warning is no failure.

    \b
    Examples:
      weft doctor
      weft doctor --json
    """
    settings = config.load()
    with progress("looking at this host"):
        subject = _subject(settings)
        findings = list(examine(subject))
    if os.geteuid() != 0:
        findings.insert(0, NOT_ROOT)
    has_failed = any(finding.state == "failed" for finding in findings)
    if as_json:
        print_json({"is_ok": not has_failed, "checks": findings})
    else:
        for finding in findings:
            _print(finding)
        _print_sum(findings)
    sys.exit(1 if has_failed else 0)


NOT_ROOT = Finding(
    name="privileges",
    state="warning",
    detail="not root: some things can only be looked at by root",
    fix="sudo weft doctor",
)


def _subject(settings: Settings) -> Subject:
    client = Client(settings.api_socket, timeout_s=DAEMON_TIMEOUT_S)
    try:
        daemon = Daemon(
            status=client.get(StatusInfo, "status"),
            facts=client.get(FactsInfo, "facts"),
            problems=client.get(ProblemList, "problems").problems,
            networks=client.get(NetworkList, "networks").networks,
        )
    except WeftError as error:
        return Subject(settings=settings, daemon=None, why_no_daemon=str(error))
    return Subject(settings=settings, daemon=daemon)


def _print(finding: Finding) -> None:
    width = min(shutil.get_terminal_size((80, 24)).columns, 100) - MARGIN
    text = f"{finding.name}: {finding.detail}" if finding.detail else finding.name
    lines = textwrap.wrap(printable(text), width)
    if finding.fix:
        lines += textwrap.wrap(f"-> {printable(finding.fix)}", width, subsequent_indent="   ")
    state = coloured(f"{finding.state:<{MARGIN}}", COLOURS[finding.state])
    click.echo(state + lines[0])
    for line in lines[1:]:
        click.echo(" " * MARGIN + line)


def _print_sum(findings: list[Finding]) -> None:
    counts = {
        state: sum(finding.state == state for finding in findings)
        for state in ("ok", "warning", "failed")
    }
    click.echo(f"{counts['ok']} ok, {counts['warning']} to know about, {counts['failed']} failed")
