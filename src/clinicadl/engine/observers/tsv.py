"""The table of metrics by epoch."""

from __future__ import annotations

import pandas as pd

from clinicadl.engine.events import Evaluated, Event, SplitStarted, log_columns
from clinicadl.layouts.maps import folder


class TsvLog:
    """Writes ``training.tsv`` anew after each evaluation: whole, and the same after a resume."""

    def __init__(self) -> None:
        self._start: SplitStarted | None = None

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, SplitStarted):
            self._start = event
        if not isinstance(event, SplitStarted | Evaluated) or self._start is None:
            return
        rows = [log_columns(row) for row in event.history]
        if rows:
            folder.write_training_log(self._start.maps, event.split, pd.DataFrame(rows))
