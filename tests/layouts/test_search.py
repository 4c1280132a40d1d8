"""The folder of a search: its definition cannot be edited, and its table says what was written."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.config.search import SearchConfig
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import search
from clinicadl.layouts.search import Definition, Trial

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=8) | st.sampled_from(["", "n/a", "1", "true", "null", '"x"', "a b", "\t"])
cells = st.none() | st.booleans() | st.integers() | numbers | texts
values = cells | st.lists(cells, max_size=2) | st.dictionaries(texts, cells, max_size=2)
dotted = st.text(string.ascii_letters + "._", min_size=1).map("optimization.{}".format)


def defined(folder):
    what = Definition(
        config=SearchConfig(experiment={"optimization": {"epochs": {"low": 1, "high": 3}}}),
        higher_is_better=False, sizes={"tiny": (1, 18, 20, 17)}, threads=1, tables={"a.tsv": "0"},
        plugins={}, generated_by={"clinicadl": "2"}, created="now",
    )  # fmt: skip
    search.write_definition(folder, what)
    return what


def test_a_definition_survives_its_file_and_an_edit_is_told(tmp_path):
    what = defined(tmp_path)
    assert search.read_definition(tmp_path) == what
    content = json.loads(search.definition(tmp_path).read_text())
    content["config"]["seed"] = 1
    search.definition(tmp_path).write_text(json.dumps(content))
    with pytest.raises(InvalidDataError, match="was edited.*search.json"):
        search.read_definition(tmp_path)
    content["format"] = "clinicadl-search-9"
    search.definition(tmp_path).write_text(json.dumps(content))
    with pytest.raises(InvalidDataError, match="another release.*found: clinicadl-search-9"):
        search.read_definition(tmp_path)


def test_a_folder_without_a_definition_is_no_search(tmp_path):
    assert not search.is_search(tmp_path)
    with pytest.raises(MissingInputError, match="not the folder of a search"):
        search.read_trials(tmp_path)


@given(st.data())
def test_the_trials_are_read_as_they_were_written(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("search")
    defined(folder)
    found = [
        Trial(
            number,
            data.draw(st.sampled_from(["waiting", "running", *search.FINISHED])),
            data.draw(st.none() | numbers),
            data.draw(st.dictionaries(st.integers(0, 9), numbers, max_size=3)),
            data.draw(st.integers(0, 100)),
            data.draw(st.dictionaries(dotted, values, max_size=3)),
            data.draw(st.sampled_from(["", "it diverged", "batch 3"])),
            search.maps(folder, number),
        )
        for number in range(data.draw(st.integers(0, 3)))
    ]
    search.write_trials(folder, found)
    assert search.read_trials(folder) == found


def test_a_damaged_table_is_told(tmp_path):
    defined(tmp_path)
    assert search.read_trials(tmp_path) == []
    search.table(tmp_path).write_text("trial\tstate\n0\tdone\n")
    with pytest.raises(InvalidDataError, match=r"damaged in .*trials.tsv"):
        search.read_trials(tmp_path)


def test_the_curves_of_a_trial_are_those_of_its_logs(trained_once):
    one = Trial(0, "complete", 0.1, {}, 3, {}, "", trained_once)
    found = search.curves(one)
    assert found["epoch"].tolist() == [0, 1, 2]
    assert {"split", "network", "loss_train", "loss_valid", "BA_valid"} < set(found.columns)
    log = (trained_once / "split-0/training_logs/training.tsv").read_text().splitlines()
    column = log[0].split("\t").index("loss_valid")
    assert found["loss_valid"].tolist() == [float(row.split("\t")[column]) for row in log[1:]]
    assert search.curves(one._replace(maps=trained_once / "none")).empty
