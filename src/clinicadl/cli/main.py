"""The table of commands, and the one place that turns an error into an exit code."""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from clinicadl.cli.lazy import LazyGroup, Row
from clinicadl.errors import INTERRUPTED, MORE, ClinicaDLError, UsageError

PLUGIN, CITE = "--plugin", "--cite"
_ANYWHERE = ("-v", "-vv", "--verbose", "-q", "--quiet", "--debug")
"""Flags of every command, wherever they stand."""

COMMANDS = {
    "generate": Row("clinicadl.cli.generate:group", "Make a CAPS whose truth is known."),
    "tsvtools": Row("clinicadl.cli.tsvtools:group", "Set participants apart without leakage."),
    "quality-check": Row(
        "clinicadl.cli.quality_check:group", "Say which images are sound and well registered."
    ),
    "prepare-data": Row("clinicadl.cli.prepare_data:group", "Turn images into tensors."),
    "prepare-data-from-bids": Row(
        "clinicadl.cli.prepare_from_bids:group", "Turn raw images into tensors."
    ),
    "preprocess": Row("clinicadl.cli.preprocess:group", "Register images to MNI."),
    "bids-app": Row(
        "clinicadl.cli.bids_app:command", "Register, judge and show images, as BIDS Apps do."
    ),
    "train": Row("clinicadl.cli.train:group", "Train networks; resume what was interrupted."),
    "search": Row(
        "clinicadl.cli.search:group", "Search settings and architectures, one MAPS a trial."
    ),
    "random-search": Row(
        "clinicadl.cli.random_search:group", "Train networks that are drawn, as releases 1.x do."
    ),
    "predict": Row("clinicadl.cli.predict:command", "Evaluate a trained model on a data group."),
    "interpret": Row(
        "clinicadl.cli.interpret:command", "Show what the outputs of trained models rest on."
    ),
    "compare": Row("clinicadl.cli.compare:command", "Say whether trained models differ."),
    "audit": Row(
        "clinicadl.cli.audit:command", "Find leakage in tables, CAPS and MAPS of any origin."
    ),
    "verify": Row("clinicadl.cli.verify:command", "Check that a MAPS is what was recorded."),
    "report": Row("clinicadl.cli.report:command", "Write what a MAPS says for people to read."),
    "gui": Row("clinicadl.cli.gui:command", "Fill in an experiment in a browser."),
    "hub": Row("clinicadl.cli.hub:group", "Share trained models, and take those of others."),
    "hugging-face": Row(
        "clinicadl.cli.hugging_face:group", "The names of releases 1.x for hub push and pull."
    ),
    "maps": Row("clinicadl.cli.maps:group", "Say what is in a MAPS; read those of releases 1.x."),
    "explain": Row("clinicadl.cli.explain:command", "Say more about an error or a warning."),
}


class _Root(LazyGroup):
    """The command ``clinicadl``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; ``--cite`` in place of a command is short for ``maps cite``."""
        position = next((i for i, word in enumerate(args) if not word.startswith("-")), len(args))
        if CITE in args[:position]:
            i = args.index(CITE)
            args = [*args[:i], "maps", "cite", *args[i + 1 :]]
        return super().parse_args(ctx, args)


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"clinicadl {version('clinicadl')}")
        ctx.exit()


root = _Root(
    "clinicadl",
    COMMANDS,
    help="Train and judge deep networks on brain images, without data leakage.",
    aliases={"tsvtool": "tsvtools", "extract": "prepare-data"},
)
root.params += [
    click.Option(["-v", "--verbose"], count=True, help="Say more; twice for all there is."),
    click.Option(["-q", "--quiet"], is_flag=True, help="Say errors only."),
    click.Option(["--debug"], is_flag=True, help="Show where in the code an error came from."),
    click.Option(
        [PLUGIN], metavar="FILE", multiple=True, expose_value=False,
        help="Run this file of yours, which adds networks, tasks, modes, metrics or methods of "
        "interpret; may stand anywhere on the command line.",
    ),
    click.Option(
        [CITE], is_flag=True, expose_value=False,
        help="List what to cite, of all there is, or for a MAPS that is named behind it; short for "
        "maps cite.",
    ),
    click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version,
        help="Show the version.",
    ),
]  # fmt: skip


def _prepare(verbose: int, quiet: bool, debug: bool) -> None:
    from clinicadl.cli.console import set_verbosity
    from clinicadl.config.launch import place

    if place(os.environ).rank:
        # Processes that train together say the same: one voice is enough, but for errors.
        quiet = True
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - stays open
    set_verbosity(-1 if quiet else max(verbose, 2 if debug else 0))


root.callback = _prepare


def run(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; the only function that exits, always with an exit code.

    Raises
    ------
    ClinicaDLError
        With ``--debug`` alone, for the sake of the traceback.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in arguments
    collect_rarely()
    try:
        arguments = _without_plugins(arguments)
        first = [word for word in arguments if word in _ANYWHERE]
        arguments = [*first, *(word for word in arguments if word not in _ANYWHERE)]
        root.main(args=arguments, prog_name="clinicadl", standalone_mode=False)
        sys.exit(0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except ClinicaDLError as error:
        if debug:
            raise
        _say(str(error), error.code)
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.UsageError as error:
        error.show()
        _say_more(UsageError.code)
        sys.exit(UsageError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _say(
            "interrupted: what is finished is kept; run or resume the same command to go on",
            "interrupted",
        )
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away, as in `clinicadl ... | head`.
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:  # the last resort: a bug of ours gets one line, not a traceback
        if debug:
            raise
        hint = "run again with --debug and report it"
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            hint = "free some space, then run the same command again"
        _say(f"unexpected {type(error).__name__}: {error}; {hint}", ClinicaDLError.code)
        sys.exit(1)


def collect_rarely() -> None:
    """Let Python look for garbage less often: the index of a large CAPS is many objects that stay.

    With its own thresholds Python looks at all that lives again and again while an index grows,
    which makes a table of 100,000 sessions take twice as long as ten tables of 10,000.
    """
    gc.set_threshold(50_000, 20, 100)


def _without_plugins(arguments: Sequence[str]) -> list[str]:
    """Load the plugins that are named anywhere, and return the other arguments.

    What they add is among the choices of the options, so that it must be known before these are
    read.

    Raises
    ------
    UsageError
        A name is missing.
    """
    left: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, given, value = word.partition("=")
        if flag != PLUGIN:
            left.append(word)
            continue
        path = value if given else next(words, "")
        if not path or path.startswith("-"):
            raise UsageError("A plugin is named by its file", where=PLUGIN, fix="Add the path")
        from clinicadl.config import plugins

        plugins.load(Path(path))
    return left


def _say(message: str, code: str) -> None:
    click.echo(f"clinicadl: {message}", err=True)
    _say_more(code)


def _say_more(code: str) -> None:
    click.echo(f"{MORE} {code}", err=True)
