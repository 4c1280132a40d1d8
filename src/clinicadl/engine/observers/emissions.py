"""Energy and CO2 of a training, as CodeCarbon estimates them without a network."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clinicadl.config.names import nearest
from clinicadl.engine.events import Evaluated, Event, SplitEnded, SplitInterrupted, SplitStarted
from clinicadl.errors import MissingExtraError, UsageError, listed
from clinicadl.layouts.files import turn, whole_file
from clinicadl.layouts.maps import names

PACKAGE, EXTRA = "codecarbon", "emissions"
_RUN = "run_id"
"""Column that tells one training from another."""
_BETWEEN = 30
"""Seconds between two looks at the counters for the table; what a kill may lose of it."""


class Emissions:
    """Writes a row for each time that a split is trained; a resumed split has several.

    Parameters
    ----------
    country
        Three letters; empty for the average of the world.
    """

    def __init__(self, country: str) -> None:
        self._country = country
        self._tracker: Any = None
        self._written = 0.0

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, SplitStarted):
            self._tracker = _tracker(self._country, event)
            self._tracker.start()
            self._written = time.monotonic()
        elif isinstance(event, Evaluated) and time.monotonic() - self._written > _BETWEEN:
            self._tracker.flush()
            self._written = time.monotonic()
        elif isinstance(event, SplitEnded | SplitInterrupted) and self._tracker is not None:
            tracker, self._tracker = self._tracker, None
            tracker.stop()


class _Table:
    """Writes what CodeCarbon says as one row of a table, beside the rows of other trainings."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def out(self, total: Any, delta: Any) -> None:
        """Write the table anew, whole; trainings of other splits may write theirs meanwhile."""
        now: Mapping[str, Any] = dict(total.values)
        with turn(self._path.parent):
            others = [row for row in self._rows() if row[_RUN] != str(now[_RUN])]
            columns = [*dict.fromkeys(name for row in (*others, now) for name in row)]
            with (
                whole_file(self._path) as temporary,
                temporary.open("w", encoding="utf-8", newline="") as table,
            ):
                writer = csv.DictWriter(table, columns, restval="")
                writer.writeheader()
                writer.writerows([*others, now])

    def _rows(self) -> list[dict[str, str]]:
        if not self._path.exists():
            return []
        with self._path.open(encoding="utf-8", newline="") as table:
            return [*csv.DictReader(table)]

    def live_out(self, total: Any, delta: Any) -> None:
        """Pass over what is said between: the table is written now and then."""

    def exit(self) -> None:
        """Do nothing: the table is whole."""


def _tracker(country: str, event: SplitStarted) -> Any:
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger(PACKAGE).setLevel(logging.ERROR)
    # What is not said here it would take from files of its own, which may name servers.
    return OfflineEmissionsTracker(
        country_iso_code=country or None,
        region=None,
        cloud_provider=None,
        cloud_region=None,
        project_name=f"{event.maps.name}/split-{event.split}",
        output_methods=[],
        output_handlers=[_Table(names.emissions(event.maps))],
        emissions_endpoint=None,
        electricitymaps_api_token=None,
        allow_multiple_runs=True,
        log_level="error",
    )


def check(country: str) -> None:
    """Refuse a country that CodeCarbon does not know.

    Raises
    ------
    MissingExtraError
        CodeCarbon is not installed.
    UsageError
        There is no such country.
    """
    if find_spec(PACKAGE) is None:
        raise MissingExtraError(PACKAGE, EXTRA)
    if not country:
        return
    from codecarbon.input import DataSource

    known = DataSource().get_global_energy_mix_data()
    if country not in known:
        raise UsageError(
            "Nothing is known of the electricity of this country", where="--emissions_country",
            found=country, fix=f"The nearest known ones are {listed(nearest(country, known))}",
        )  # fmt: skip
