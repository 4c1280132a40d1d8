"""``clinicadl random-search``: networks drawn as releases 1.x draw them."""

from __future__ import annotations

from typing import Any

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.jobs import JobsConfig
from clinicadl.config.random_search import RandomAnalysisConfig, RandomSearchConfig

_GENERATE = "generate"


class _WithDefault(LazyGroup):
    """A group whose first command is meant where none is named, as in release 1.x."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the first command in front of what names none."""
        known = {*self.rows, *ctx.help_option_names}
        if args and args[0] not in known:
            args = [_GENERATE, *args]
        return super().parse_args(ctx, args)


group = _WithDefault(
    "random-search",
    {
        _GENERATE: Row(
            "clinicadl.cli.random_search:generate", "Draw a network and train it (the default)."
        ),
        "analysis": Row(
            "clinicadl.cli.random_search:analysis", "Gather one metric of all that were trained."
        ),
    },
    help="Draw networks at random as random_search.toml says, and train them.",
)


@click.command(_GENERATE, cls=Command)
@click.option(
    "--dry-run", is_flag=True, help="Print the settings that are drawn, and what would be done."
)
@options_of(JobsConfig)
@options_of(RandomSearchConfig, arguments=("launch_directory", "name"))
def generate(dry_run: bool, **flags: Any) -> None:
    """Draw a network as LAUNCH_DIRECTORY/random_search.toml says, and train it into a MAPS.

    The MAPS is LAUNCH_DIRECTORY/NAME. The same NAME and --search_seed draw the same network. For
    more networks, or for several at once, give other names.
    """
    from clinicadl.cli.train import complete, describe, jobs_of, show_jobs
    from clinicadl.config.read import settings
    from clinicadl.search import published

    jobs, others = jobs_of(flags)
    config = settings(RandomSearchConfig, given(others))
    planned = published.ready(config, jobs=jobs)
    if dry_run:
        describe(planned.plan, planned.plan.config)
        click.echo(f"# would write: {planned.maps}")
        show_jobs(planned.plan, planned.maps, planned.plan.config.validation.chosen(), jobs)
        return
    published.record(config, planned)
    complete(planned.plan, planned.maps, jobs)


@click.command("analysis", cls=Command)
@options_of(RandomAnalysisConfig, arguments=("launch_directory",))
def analysis(**flags: Any) -> None:
    """Write one metric on validation of all MAPS in LAUNCH_DIRECTORY, split by split."""
    from clinicadl.config.read import settings
    from clinicadl.search.analysis import analyse_random_search

    table = analyse_random_search(settings(RandomAnalysisConfig, given(flags)))
    click.echo(f"table: {table}")
