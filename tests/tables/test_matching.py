"""Which session of one table is which of another."""

import numpy as np
import pandas as pd
import pytest

from clinicadl.draws import generator
from clinicadl.tables.matching import NOWHERE, positions


def table(*keys):
    return pd.DataFrame(keys, columns=["participant_id", "session_id"], dtype=object)


@pytest.mark.parametrize(
    ("session", "others", "expected"),
    [
        ("ses-M00", ["ses-M12", "ses-M00"], 1),
        ("ses-M00", ["ses-M12", "ses-M000"], 1),
        ("ses-bl", ["ses-M000"], 0),
        # To the letter before by month, and of two spellings the first in the alphabet.
        ("ses-M00", ["ses-M000", "ses-M00"], 1),
        ("ses-M0", ["ses-M00", "ses-M000"], 0),
        ("ses-M0", ["ses-M000", "ses-M00"], 1),
        ("ses-M06", ["ses-M60", "ses-6"], NOWHERE),
        ("ses-wave1", ["ses-wave1", "ses-wave01"], 0),
        ("ses-wave1", ["ses-wave01"], NOWHERE),
    ],
)
def test_sessions_are_found_by_name_and_then_by_month(session, others, expected):
    other = table(*(("sub-1", name) for name in others))
    assert positions(table(("sub-1", session)), other).tolist() == [expected]


def test_nobody_is_taken_for_another_participant():
    assert positions(table(("sub-1", "ses-M0")), table(("sub-2", "ses-M0"))).tolist() == [NOWHERE]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_other_table_does_not_matter(seed):
    names = ["ses-M00", "ses-M000", "ses-M006", "ses-bl", "ses-wave1"]
    other = table(*(("sub-1", name) for name in names))
    order = generator(seed, "shuffle").permutation(len(other))
    given = table(*(("sub-1", name) for name in ("ses-M0", "ses-M06", "ses-wave1", "ses-M1")))
    found = positions(given, other.iloc[order].reset_index(drop=True))
    expected = positions(given, other)
    # Only what is found has a place in the other order.
    assert [order[i] if i != NOWHERE else NOWHERE for i in found] == expected.tolist()
    assert np.count_nonzero(expected == NOWHERE) == 1
