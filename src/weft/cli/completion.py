"""``weft completion``: scripts that teach a shell to complete weft's commands and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script for SHELL.

    \b
    Examples:
      weft completion bash > /etc/bash_completion.d/weft
      weft completion zsh > "${fpath[1]}/_weft"
      weft completion fish > ~/.config/fish/completions/weft.fish
    """
    from weft.cli.main import cli

    make = get_completion_class(shell)
    assert make is not None
    click.echo(make(cli, {}, "weft", "_WEFT_COMPLETE").source())
