"""How a command over many images ends when some of them cannot be used."""

from __future__ import annotations

import pandas as pd
import pytest

from clinicadl.errors import InvalidDataError, PartialError
from clinicadl.tables import failures

FAILED = [
    (("sub-1", "ses-M000"), InvalidDataError("It is\n\tdamaged", where="a.nii")),
    (("sub-2", "ses-M012"), InvalidDataError("It is empty")),
]


def test_each_reason_is_one_line_of_the_table(tmp_path):
    path = tmp_path / "failed.tsv"
    failures.write(path, FAILED)
    table = pd.read_csv(path, sep="\t")
    assert [*table] == ["participant_id", "session_id", "reason"]
    assert table["reason"].tolist() == ["It is damaged in a.nii.", "It is empty."]
    assert table["session_id"].tolist() == ["ses-M000", "ses-M012"]


def test_a_table_of_before_goes_when_nothing_fails_any_more(tmp_path):
    path = tmp_path / "failed.tsv"
    failures.write(path, FAILED)
    failures.write(path, [])
    assert not path.exists()
    failures.write(path, [])


def test_all_failed_some_failed_and_none_end_differently(tmp_path):
    path = tmp_path / "failed.tsv"
    with pytest.raises(InvalidDataError, match=r"None of the 2 .*failed\.tsv .*damaged") as error:
        failures.refuse_all(path, FAILED, 2)
    assert error.value.exit_code == 65
    failures.refuse_all(path, FAILED, 3)
    with pytest.raises(
        PartialError, match=r"2 of 3 .*sub-1 \| ses-M000, sub-2 \| ses-M012"
    ) as some:
        failures.refuse_some(path, FAILED, 3)
    assert some.value.exit_code == 3
    failures.refuse_all(path, [], 0)
    failures.refuse_some(path, [], 3)
