"""Groups of commands that import the one that is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

import click

from clinicadl.config.names import nearest


class Row(NamedTuple):
    """A command: where it is defined, and its line in the listing."""

    home: str
    short: str


class LazyGroup(click.Group):
    """A group whose listing comes from a table, so that ``--help`` imports nothing."""

    def __init__(
        self, name: str, rows: dict[str, Row], help: str, aliases: dict[str, str] | None = None
    ) -> None:
        super().__init__(name, help=help, no_args_is_help=True)
        self.context_settings["token_normalize_func"] = lambda text: text.replace("_", "-")
        self.context_settings["help_option_names"] = ["-h", "--help"]
        self.rows = rows
        self.aliases = aliases or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the table."""
        return list(self.rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        name = self.aliases.get(cmd_name, cmd_name)
        if name not in self.rows:
            return None
        module, _, attribute = self.rows[name].home.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is asked for; an unknown one names the nearest.

        Raises
        ------
        UsageError
            There is no such command.
        """
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = ", ".join(nearest(args[0], self.rows))
            raise click.UsageError(f"{error.message} The nearest is {close}.", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the listing without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.short) for name, row in self.rows.items()])
