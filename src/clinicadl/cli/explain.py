"""``clinicadl explain``."""

from __future__ import annotations

import click


@click.command("explain")
@click.argument("code", default="list")
def command(code: str) -> None:
    """Say what an error, a warning or an exit code means, why, and what to do; works offline.

    CODE is the word that stands behind `More: clinicadl explain`, a rule of the leakage guard, or
    an exit code; `list` shows all.
    """
    from clinicadl.explanations.pages import explain

    click.echo(explain(code))
