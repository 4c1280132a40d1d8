"""``clinicadl report``."""

from __future__ import annotations

from typing import Any

import click

from clinicadl.cli.options import Command, given, options_of
from clinicadl.config.report import ReportConfig


@click.command("report", cls=Command)
@options_of(ReportConfig, arguments=("maps_directory",))
def command(**flags: Any) -> None:
    """Write what MAPS_DIRECTORY, or a search, says for people to read.

    One page that needs no network: what the guard found first, who was in which group, learning
    curves, metrics with intervals, ROC curves and confusion or residuals, who looked at the test
    groups, all settings, a checklist of reporting items, and how to repeat it.

    Of the folder of a search, or of a random search: all trials, which settings matter, and what
    the best trial is worth without the luck of having been chosen.
    """
    from clinicadl.config.read import settings
    from clinicadl.report.page import write_report
    from clinicadl.report.search_page import write_search_page
    from clinicadl.search.found import is_searched

    config = settings(ReportConfig, given(flags))
    write = write_search_page if is_searched(config.maps_directory) else write_report
    click.echo(f"report: {write(config)}")
