"""How templates become the text of a page, and numbers in them."""

from __future__ import annotations

from importlib.util import find_spec
from math import isnan
from typing import TYPE_CHECKING

from clinicadl.config.report import ReportConfig
from clinicadl.errors import MissingExtraError
from clinicadl.layouts import files

if TYPE_CHECKING:
    from jinja2 import Environment


def environment() -> Environment:
    """Return what renders our templates."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    found = Environment(
        loader=PackageLoader("clinicadl.report", "."),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters |= {"number": number, "short": short, "brief": brief}
    return found


def check_page(config: ReportConfig) -> None:
    """Refuse a page that cannot be drawn, or not be written where it is to be.

    Raises
    ------
    MissingExtraError
        Matplotlib is not installed.
    OutputError
        The file or the folder of figures exists already, or cannot be written.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "report")
    for path in (config.page, *([] if config.figures is None else [config.figures])):
        files.refuse_unwritable(path)
        if not config.overwrite:
            files.refuse_existing(path)


def brief(value: object) -> str:
    """Return the value of a setting, a number with three digits.

    Examples
    --------
    >>> brief(0.000123456), brief(8), brief("Adam"), brief(True)
    ('0.000123', '8', 'Adam', 'True')
    """
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def number(value: float | None) -> str:
    """Return a number with three significant decimals; a hyphen for none.

    Examples
    --------
    >>> number(0.98765), number(None), number(1234.5)
    ('0.988', '-', '1234.5')
    """
    if value is None or isnan(value):
        return "-"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


def short(cell: object) -> str:
    """Return the cell of a table, its number with three decimals.

    Examples
    --------
    >>> short("0.123456"), short("sub-01"), short("12")
    ('0.123', 'sub-01', '12')
    """
    text = str(cell)
    try:
        value = float(text)
    except ValueError:
        return text
    return text if value.is_integer() else number(value)
