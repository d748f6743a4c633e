"""``msgsync completion``: the shell completes commands, options and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from msgsync.cli.options import command


@command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete this program's commands.

    Put the line of your shell where it reads it at each start.

      msgsync completion fish | source
      eval "$(msgsync completion bash)"
      eval "$(msgsync completion zsh)"
    """
    made = get_completion_class(shell)
    root = context.find_root()
    if made is None:  # the choice above names what click has
        raise click.UsageError(f"there is no completion for {shell}")
    print(made(root.command, {}, "msgsync", "_MSGSYNC_COMPLETE").source())
