"""The folder of one experiment: made whole, opened, refused when damaged."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pandas as pd
import pytest

from clinicadl.errors import InvalidDataError, MissingInputError, OutputError
from clinicadl.layouts.maps import folder, ledger, names, outcomes, record
from clinicadl.layouts.maps.outcomes import Level, Results


def test_a_record_reads_back_as_it_was_written(trained_once):
    text = (trained_once / "maps.json").read_text()
    found = record.read(trained_once)
    assert found.model_dump_json(indent=2) + "\n" == text
    assert found.config.network.name == "Conv4_FC3"
    assert found.generated_by["torch"].startswith("2.")


def test_the_record_holds_the_hash_of_every_table_and_image_that_was_read(
    trained_once, prepared_once
):
    import hashlib

    found = record.read(trained_once)
    assert len(found.tables) == 5
    for path, digest in found.tables.items():
        with pathlib.Path(path).open("rb") as table:
            assert hashlib.sha256(table.read()).hexdigest() == digest
    seen = folder.read_seen(trained_once)
    for row in seen.itertuples():
        path = next(prepared_once.glob(f"subjects/{row.participant_id}/{row.session_id}/custom/*"))
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row.image_sha256


def test_everybody_of_every_split_counts_as_seen(trained_once):
    seen = folder.read_seen(trained_once)
    tables = [
        pd.read_csv(path, sep="\t") for path in trained_once.glob("groups/*/split-*/data.tsv")
    ]
    assert len(tables) == 4
    union = {tuple(row) for table in tables for row in table.iloc[:, :2].to_numpy()}
    assert {tuple(row) for row in seen.iloc[:, :2].to_numpy()} == union


def test_groups_are_written_for_splits_that_are_not_trained(trained_once):
    assert not names.split(trained_once, 1).exists()
    assert names.group_table(names.group(trained_once, "train", 1)).exists()


def test_information_says_when_where_and_what(trained_once):
    text = names.information(trained_once).read_text()
    assert all(block in text for block in ("- Date :\t", "- Path :\t", "- Model :\t", "Conv3d"))
    assert "torch==" in names.environment(trained_once).read_text()


def test_a_maps_is_made_whole_or_not_at_all(trained_once, tmp_path, monkeypatch):
    found = record.read(trained_once)

    def fail(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(folder, "_write_group", fail)
    table = pd.DataFrame({"participant_id": ["sub-1"], "session_id": ["ses-1"]})
    with pytest.raises(OutputError, match="No space"):
        folder.create(
            tmp_path / "maps", found, seen=table, groups={("train", 0): table}, origin={}, layers=""
        )
    assert list(tmp_path.iterdir()) == []


def test_results_replace_former_results_at_once(trained):
    before = names.results(trained, 0, "loss", "train")
    table = pd.DataFrame({"participant_id": ["sub-1"]})
    levels = {"image": Level(table, None)}
    with outcomes.new_results(trained, 0, "loss", "train") as target:
        outcomes.write_results(target, "train", Results(levels, {}, "new\n"))
    assert names.description(before).read_text() == "new\n"
    assert not names.metrics(before, "image").exists()
    assert [path.name for path in before.parent.iterdir() if path.name.startswith(".")] == []


def test_two_processes_cannot_write_to_one_maps(trained):
    code = (
        "import sys; from pathlib import Path; from clinicadl.layouts.maps import folder\n"
        "from clinicadl.errors import OutputError\n"
        "try:\n"
        "    with folder.held(Path(sys.argv[1])): print('held')\n"
        "except OutputError as error: print(error)\n"
    )
    with folder.held(trained):
        said = subprocess.run(
            [sys.executable, "-c", code, str(trained)], capture_output=True, text=True, check=True
        )
    assert "Another process" in said.stdout
    with folder.held(trained):
        pass


def test_the_ledger_grows_and_never_forgets(tmp_path):
    for number in range(3):
        accepted = "because\tof\nthis" if number else None
        ledger.append(tmp_path, ledger.Entry(f"g{number}", 2, 3, "m", "x", accepted))
    table = pd.read_csv(names.ledger(tmp_path), sep="\t", keep_default_na=False)
    assert table.columns.tolist() == list(ledger.COLUMNS)
    assert table["group"].tolist() == ["g0", "g1", "g2"]
    assert table["accepted_leakage"].tolist() == ["", "because of this", "because of this"]


def test_a_group_that_is_not_defined_is_refused_and_the_known_ones_are_named(trained):
    table = pd.DataFrame({"participant_id": ["sub-1"], "session_id": ["ses-1"]})
    folder.write_group(trained, "test", table, {"caps_directory": "x"}, overwrite=False)
    with pytest.raises(MissingInputError, match="Known: test"):
        folder.read_group(trained, "other")
    with pytest.raises(OutputError, match="exists"):
        folder.write_group(trained, "test", table, {}, overwrite=False)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda content: {**content, "format": "1.6.1"}, "another release"),
        (lambda content: {**content, "surprise": 1}, "damaged"),
        (lambda content: {**content, "label_code": {"AD": "zero"}}, "damaged"),
    ],
)
def test_a_record_that_is_not_ours_is_refused(trained, change, match):
    path = names.record(trained)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InvalidDataError, match=match):
        folder.open_maps(trained)


def test_names_are_those_of_the_published_layout(tmp_path):
    assert str(names.weights(tmp_path, 2, "BA").relative_to(tmp_path)) == (
        "split-2/best-BA/model.safetensors"
    )
    results = names.results(tmp_path, 0, "loss", "test")
    assert names.predictions(results, "image").name == "test_image_level_prediction.tsv"
    assert names.metrics(results, "image").name == "test_image_level_metrics.tsv"
    assert str(names.training_log(tmp_path, 1).relative_to(tmp_path)) == (
        "split-1/training_logs/training.tsv"
    )
