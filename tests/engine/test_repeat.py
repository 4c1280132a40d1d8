"""An experiment anew, from its record: the same bits, and a word about what is not as it was."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
import torch

from clinicadl import import_maps, train, train_from
from clinicadl.config.transforms import TransformsConfig
from clinicadl.engine import repeat
from clinicadl.errors import (
    InvalidDataError,
    LeakageError,
    MissingInputError,
    OutputError,
    UsageError,
)
from clinicadl.layouts.maps import folder, names
from clinicadl.networks import weights


def bits(maps, metric="loss", split=0):
    return weights.read(names.weights(maps, split, metric)).state


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def table(maps, name):
    return pd.read_csv(maps / name, sep="\t").drop(columns="time", errors="ignore")


def warnings_of(caplog):
    return [one.getMessage() for one in caplog.records if "not be the same" in one.getMessage()]


def test_a_maps_trained_from_another_has_its_bits(prepared_once, config_of, tmp_path, caplog):
    config = config_of(
        prepared_once, optimization={"epochs": 2},
        transforms={"augmentation": [{"name": "Noise"}]},
    )  # fmt: skip
    train(config, tmp_path / "one")
    caplog.clear()
    train_from(tmp_path / "one", tmp_path / "two")
    assert not warnings_of(caplog)
    one, two = (folder.open_maps(tmp_path / name).record for name in ("one", "two"))
    assert isinstance(one.config.transforms, TransformsConfig)
    assert one.model_copy(update={"created": two.created}) == two
    for metric in ("loss", "BA"):
        assert same(bits(tmp_path / "one", metric), bits(tmp_path / "two", metric))
        for group in ("train", "validation"):
            path = f"split-0/best-{metric}/{group}/{group}_image_level_prediction.tsv"
            pd.testing.assert_frame_equal(
                table(tmp_path / "one", path), table(tmp_path / "two", path)
            )
    log = "split-0/training_logs/training.tsv"
    pd.testing.assert_frame_equal(table(tmp_path / "one", log), table(tmp_path / "two", log))


def test_a_record_alone_is_enough(trained_once, tmp_path):
    shutil.copy(trained_once / "maps.json", tmp_path / "experiment.json")
    train_from(tmp_path / "experiment.json", tmp_path / "new")
    assert same(bits(trained_once), bits(tmp_path / "new"))


def test_another_split_is_trained_on_request(trained_once, tmp_path):
    planned = repeat.ready(trained_once, tmp_path / "new", splits=[1])
    assert planned.config.validation.chosen() == (1,)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="split 5 does not exist"):
        repeat.ready(trained_once, tmp_path / "new", splits=[5])


def test_what_is_not_as_it_was_is_said(prepared, config_of, tmp_path, caplog):
    train(config_of(prepared, optimization={"epochs": 1}), tmp_path / "one")
    maps = tmp_path / "one/maps.json"
    home = prepared / "split/2_fold/split-0/train.tsv"
    home.write_text(home.read_text().replace("\tM", "\tF", 1))
    content = json.loads(maps.read_text())
    content["resolved"]["threads"] = 64
    content["generated_by"]["torch"] = "1.0"
    maps.write_text(json.dumps(content))
    extraction = prepared / "tensor_extraction/tiny.json"
    extraction.write_text(json.dumps(json.loads(extraction.read_text()) | {"note": 1}))
    repeat.ready(tmp_path / "one", tmp_path / "two")
    said = " ".join(warnings_of(caplog))
    words = (str(home), "extraction JSON has changed", "and was 64", "versions of the packages")
    assert [word for word in words if word not in said] == []
    assert "images are others" not in said


def test_other_images_are_noticed(prepared, config_of, tmp_path, caplog):
    train(config_of(prepared, optimization={"epochs": 1}), tmp_path / "one")
    seen = tmp_path / "one/groups/train+validation.tsv"
    lines = seen.read_text().splitlines()
    cells = lines[1].split("\t")
    seen.write_text(
        "\n".join([lines[0], "\t".join([*cells[:2], "0" * 64, *cells[3:]]), *lines[2:]])
    )
    repeat.ready(tmp_path / "one", tmp_path / "two")
    assert "images are others" in " ".join(warnings_of(caplog))


def test_a_published_experiment_is_trained_anew(published_maps, tmp_path, caplog):
    train_from(published_maps, tmp_path / "new")
    config = folder.open_maps(tmp_path / "new").record.config
    assert (config.network.name, config.optimization.epochs) == ("Conv4_FC3", 2)
    assert config.validation.chosen() == (0,)
    assert config.task.label_code == {"AD": 0, "CN": 1}
    assert len(table(tmp_path / "new", "split-0/training_logs/training.tsv")) == 2
    assert not warnings_of(caplog)


def test_a_published_experiment_on_another_extraction_is_noticed(
    published_of, prepared, tmp_path, caplog
):
    old = published_of(tmp_path / "old", caps=prepared)
    path = old / "maps.json"
    content = json.loads(path.read_text())
    content["preprocessing_dict"]["custom_suffix"] = "other_T1w.nii.gz"
    path.write_text(json.dumps(content))
    repeat.ready(old, tmp_path / "new")
    assert "extraction JSON has changed" in " ".join(warnings_of(caplog))


def test_an_imported_experiment_is_trained_anew(published_maps, tmp_path):
    import_maps(published_maps, tmp_path / "imported")
    one, two = (
        repeat.ready(source, tmp_path / "new").config
        for source in (published_maps, tmp_path / "imported")
    )
    assert one == two


def test_what_was_computed_otherwise_cannot_be_repeated(published_of, tmp_path):
    old = published_of(tmp_path / "old", ssda_network=True)
    with pytest.raises(InvalidDataError, match="ssda_network = True"):
        train_from(old, tmp_path / "new")


def test_nothing_is_taken_from_nowhere_or_written_over(trained_once, tmp_path):
    with pytest.raises(MissingInputError, match="none"):
        train_from(tmp_path / "none", tmp_path / "new")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match="no maps.json"):
        train_from(tmp_path / "empty", tmp_path / "new")
    with pytest.raises(OutputError, match="exists"):
        train_from(trained_once, trained_once)


def test_the_guard_is_asked_again(prepared, config_of, tmp_path):
    train(config_of(prepared, optimization={"epochs": 1}), tmp_path / "one")
    home = prepared / "split/2_fold/split-0"
    (home / "validation_baseline.tsv").write_text((home / "train.tsv").read_text())
    with pytest.raises(LeakageError):
        train_from(tmp_path / "one", tmp_path / "two")
    assert not (tmp_path / "two").exists()
