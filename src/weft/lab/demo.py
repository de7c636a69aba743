"""``make demo``: hosts with real Docker engines in a lab, the demonstration on them, what next."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from weft.errors import WeftError
from weft.lab.demonstration import CLIENT, NETWORK, Demonstration
from weft.lab.host import LabHost, weft_command
from weft.lab.lab import Lab, Progress
from weft.lab.layout import host_names
from weft.lab.stage import Stage


def run_demo(name: str, hosts: int) -> bool:
    """Run it, on the terminal. True: everything really worked."""
    console = Console(highlight=False, width=min(80, Console().width))
    began = time.monotonic()
    lab = Lab(name, lambda what: console.print(f"  [dim]{escape(what)}[/dim]"))
    console.print("[bold]Weft: real containers on a network of their own[/bold]\n")
    try:
        lab.up(hosts, has_docker=True)
        Demonstration(lab, lab.hosts(), Stage(console)).run()
    except (WeftError, ExceptionGroup) as error:
        console.print(f"[bold red]failed:[/bold red] {escape(str(error))}")
        console.print(_logs(lab, hosts), markup=False, soft_wrap=True)
        return False
    console.print(
        f"\n[bold green]All of it worked[/bold green] ({time.monotonic() - began:.1f} s)."
    )
    console.print(_what_next(name), markup=False, soft_wrap=True)
    return True


def stop_demo(name: str, progress: Progress) -> None:
    """Remove all that the demonstration made."""
    Lab(name, progress).down()


def _logs(lab: Lab, hosts: int) -> str:
    made = [LabHost(lab.layout.node(name)) for name in host_names(hosts)]
    files = [str(log) for host in made for log in (host.weftd_log, host.engine.log_file)]
    return "logs: " + "\n      ".join(files)


def _what_next(name: str) -> str:
    script = Path(weft_command()[0])
    is_found = shutil.which("weft") == str(script)
    here = Path.cwd()
    weft = "weft" if is_found else str(script).removeprefix(f"{here}/")
    down = "make demo-down" if name == "demo" else f"make demo-down LAB={name}"
    return f"""
Go on, in a shell on a host, where docker and weft mean its own:
  {weft} lab exec --name {name} h2 -- bash
  docker exec -it {CLIENT} sh
  docker run -it --rm --net={NETWORK} busybox
  weft status; weft ps; weft doctor
See all hosts and logs:
  {weft} lab status --name {name}
Stop it and remove all that it made:
  {down}"""
