"""When a session was."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.tables import times

TSV = Path("t.tsv")


def table(sessions, **columns):
    return pd.DataFrame(
        {"participant_id": "sub-1", "session_id": sessions, **columns}, dtype=object
    )


def test_ids_tell_months():
    found = times.of_sessions(table(["ses-M06", "ses-bl", "ses-wave1"]))
    np.testing.assert_array_equal(found, [6, 0, np.nan])


def test_sessions_that_tell_no_month_are_refused_by_row():
    given = table(["ses-M06", "ses-a", "ses-b"])
    with pytest.raises(InvalidDataError, match=r"t\.tsv, rows 3, 4, .*ses-a, ses-b"):
        times.refuse_untold(given, times.of_sessions(given), where=TSV)
    times.refuse_untold(given[:1], times.of_sessions(given[:1]), where=TSV)


def test_columns_tell_months_in_their_unit_and_equal_times_are_equal():
    given = table(["ses-a"] * 3, years=["0.1", "3.1", np.nan], months=["1.2", "37.2", np.nan])
    years = times.in_column(given, "years", "years", where=TSV)
    months = times.in_column(given, "months", "months", where=TSV)
    assert years.equals(months.rename("years"))
    assert round(years[0] + 36, times.DIGITS) == years[1]


def test_a_column_that_is_absent_or_no_number_is_named():
    given = table(["ses-a"], when=["soon"])
    with pytest.raises(MissingInputError, match=r"no column day .*t\.tsv"):
        times.in_column(given, "day", "months", where=TSV)
    with pytest.raises(InvalidDataError, match=r"t\.tsv, row 2, column when"):
        times.in_column(given, "when", "months", where=TSV)
