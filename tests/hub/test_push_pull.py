"""Models go to another machine and come back: same bits, nobody's name, and the guard knows."""

from __future__ import annotations

import json
import re
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest

from clinicadl import (
    InterpretConfig,
    PredictConfig,
    PushConfig,
    interpret,
    predict,
    pull_models,
    push_models,
    read_experiment,
    show_maps,
    show_models,
    train,
    verify,
)
from clinicadl.engine.train import ready
from clinicadl.errors import (
    InvalidDataError,
    LeakageError,
    MissingInputError,
    OutputError,
    UsageError,
)
from clinicadl.layouts import images
from clinicadl.layouts.maps import folder, hidden, names

QUICK = {"n_proc": 0, "gpu": False}
GRID = (18, 20, 17)
AFFINE = np.array([[8.0, 0, 0, -68], [0, 8, 0, -90], [0, 0, 8, -60], [0, 0, 0, 1]])
TASKS = {
    "patch": (
        {"patch_size": 9, "stride_size": 8},
        {"validation": {"split": [0, 1]}, "task": {"name": "classification"}},
        {"ensemble": True, "ensemble_weights": "validation"},
    ),
    "roi": (
        {"roi_list": ["low", "high"], "uncropped_roi": False, "roi_custom_template": "T"},
        {"multi_network": True, "task": {"name": "classification"}},
        {},
    ),
    "slice": (
        {"slice_direction": 1, "slice_mode": "single", "discarded_slices": [5, 5]},
        {
            "validation": {"split": [0, 1]},
            "task": {
                "name": "regression", "label": "age", "vote": "inverse-mae",
                "selection_metrics": ["loss"],
            },
        },
        {"ensemble": True, "ensemble_weights": "validation"},
    ),
    "image": (
        {},
        {
            "network": {"name": "AE_Conv4_FC3"},
            "task": {"name": "reconstruction", "selection_metrics": ["loss"]},
        },
        {"save_tensor": True},
    ),
}  # fmt: skip


def on_test(caps, **more):
    return PredictConfig(
        caps_directory=caps, participants_tsv=caps / "split/test_baseline.tsv", **QUICK, **more
    )


def rows_of_test(caps):
    return pd.read_csv(caps / "split/test_baseline.tsv", sep="\t", dtype=str)


@pytest.fixture(scope="module")
def shared(trained_once, tmp_path_factory):
    """The trained models, shared in a folder."""
    target = tmp_path_factory.mktemp("hub") / "shared"
    push_models(PushConfig(about="To try things."), trained_once, str(target))
    return target


@pytest.fixture(scope="module")
def pulled_once(shared, tmp_path_factory):
    maps = tmp_path_factory.mktemp("hub") / "pulled"
    pull_models(str(shared), maps)
    return maps


@pytest.fixture
def pulled(pulled_once, tmp_path):
    return shutil.copytree(pulled_once, tmp_path / "pulled")


def same_results(one, other, group):
    compared = 0
    for path in sorted(one.rglob(f"{group}/**/*")):
        if path.suffix in (".tsv", ".pt"):
            assert path.read_bytes() == (other / path.relative_to(one)).read_bytes(), path
            compared += 1
    return compared


def test_a_pulled_model_says_the_same_to_the_bit(trained, pulled, prepared_once):
    for maps in (trained, pulled):
        predict(on_test(prepared_once), maps, "test")
    # predictions and metrics of two selection metrics, and the table of the group
    assert same_results(trained, pulled, "test") == 5
    assert verify(pulled).different == ()
    assert "pulled" in show_maps(pulled)


@pytest.mark.parametrize("mode", TASKS)
def test_every_kind_of_model_says_the_same_to_the_bit(mode, prepared, config_of, tmp_path):
    keys, sections, more = TASKS[mode]
    for name, (x, y, z) in {"low": (2, 2, 2), "high": (8, 10, 7)}.items():
        inside = np.zeros(GRID, dtype=np.float32)
        inside[x : x + 9, y : y + 9, z : z + 9] = 1
        images.write(prepared / f"masks/tpl-T/tpl-T_roi-{name}_mask.nii.gz", inside, affine=AFFINE)
    home = prepared / "tensor_extraction"
    content = json.loads((home / "tiny.json").read_text())
    content |= {"mode": mode, "prepare_dl": False, "extract_json": f"{mode}.json", **keys}
    (home / f"{mode}.json").write_text(json.dumps(content))
    sections = dict(sections)
    multi = sections.pop("multi_network", False)
    quick = config_of(prepared, data={"preprocessing_json": mode}).model_dump(
        include={"data", "compute"}
    )
    common = {
        "network": {"name": "Conv4_FC3"}, "optimization": {"epochs": 1, "batch_size": 16},
        "validation": {"split": [0]},
    }  # fmt: skip
    sections = {**common, **sections}
    sections["validation"]["n_splits"] = 2
    config = read_experiment({**quick, **sections, "multi_network": multi})
    maps = tmp_path / "maps"
    train(config, maps)
    push_models(PushConfig(), maps, str(tmp_path / "shared.zip"))
    pull_models(str(tmp_path / "shared.zip"), tmp_path / "pulled")
    for one in (maps, tmp_path / "pulled"):
        predict(on_test(prepared, **more), one, "test")
    assert same_results(maps, tmp_path / "pulled", "test") >= 3


def everything(path):
    """Every byte that is shared, names and unpacked content included."""
    if path.is_file():
        with zipfile.ZipFile(path) as archive:
            yield from ((one, archive.read(one)) for one in archive.namelist())
        yield path.name, path.read_bytes()
        return
    for one in path.rglob("*"):
        if one.is_file():
            yield str(one.relative_to(path)), one.read_bytes()


@pytest.mark.parametrize("target", ["shared", "shared.zip"])
def test_no_byte_of_what_is_shared_names_a_participant_or_a_place(
    trained, prepared_once, tmp_path, target
):
    predict(on_test(prepared_once), trained, "test")
    config = PushConfig(signatures=names.seen_signatures(trained).exists(), cohorts=True)
    push_models(config, trained, str(tmp_path / "to" / target))
    people = pd.read_csv(prepared_once / "labels.tsv", sep="\t")["participant_id"].unique()
    words = [f"T{number:03d}" for number in range(len(people))] + [*people]
    places = [str(one) for one in (prepared_once, trained, tmp_path, prepared_once.parent)]
    found = {*everything(tmp_path / "to" / target)}
    assert {name for name, _ in found} >= {"hub.json", "README.md"}
    for name, content in found:
        for word in (*words, *places):
            assert word.encode() not in content, (word, name)
            assert word not in name


def test_a_name_that_nobody_foresaw_stays_here(trained, tmp_path):
    who = folder.read_seen(trained)["participant_id"][0]
    config = PushConfig(about=f"Trained with {who.removeprefix('sub-')}, among others.")
    with pytest.raises(InvalidDataError, match=rf"would be told in .*{who.removeprefix('sub-')}"):
        push_models(config, trained, str(tmp_path / "shared"))
    with pytest.raises(InvalidDataError, match="place on this machine"):
        push_models(PushConfig(about=f"In {trained}"), trained, str(tmp_path / "shared"))
    assert not (tmp_path / "shared").exists()


@pytest.fixture
def scan(prepared_once, tmp_path):
    """The image of a participant of the test set, alone in a folder."""
    who = rows_of_test(prepared_once)["participant_id"][0]
    (source,) = prepared_once.glob(f"subjects/{who}/ses-M000/custom/*.nii.gz")
    (tmp_path / "scans").mkdir()
    return shutil.copy(source, tmp_path / "scans" / source.name)


@pytest.mark.parametrize("spell", ["sub-{}", "sub-ADNI{}", "{}", "sub-00{}"])
def test_the_guard_at_the_other_end_knows_who_was_seen(pulled, trained_once, scan, spell):
    seen = folder.read_seen(trained_once)["participant_id"][0].removeprefix("sub-")
    number = seen.removeprefix("T")
    spelt = spell.format(seen if spell in ("sub-{}", "{}") else number)
    config = PredictConfig(image=(scan,), participant=spelt, session="ses-M048", **QUICK)
    if "ADNI" in spell:
        # Both begin with letters, and with other ones: two people.
        predict(config, pulled, "one")
        return
    with pytest.raises(LeakageError, match=r"1 of 1 participant .* seen .*this MAPS: sub-"):
        predict(config, pulled, "one")
    assert not (pulled / "groups/one").exists()


def test_the_guard_at_the_other_end_knows_an_image_under_another_name(
    pulled, trained_once, prepared_once, tmp_path
):
    seen = folder.read_seen(trained_once)["participant_id"][0]
    (source,) = prepared_once.glob(f"subjects/{seen}/ses-M000/custom/*.nii.gz")
    copy = shutil.copy(source, tmp_path / "anonymous.nii.gz")
    with pytest.raises(LeakageError, match="image.*under another name: .sub-unknown .*sub-hidden"):
        predict(PredictConfig(image=(copy,), **QUICK), pulled, "one")
    predict(PredictConfig(image=(copy,), accept_leakage="to see", **QUICK), pulled, "one")


def test_one_image_is_told_in_one_command(pulled, scan, invoke):
    code, out, err = invoke("predict", pulled, "one", "--image", scan, "--no-gpu")
    assert code == 0, err
    assert re.search(r"split 0 by loss: CN [0-9.e-]+, AD|split 0 by loss: AD", out)
    assert "14 participants" in out
    assert "none of them is known to be in this data group" in out


def test_what_is_shared_is_shown_without_reading_a_weight(shared, tmp_path, invoke):
    copy = shutil.copytree(shared, tmp_path / "copy")
    for path in copy.rglob("*.safetensors"):
        path.write_bytes(bytes(path.stat().st_size))
    code, out, err = invoke("hub", "show", copy)
    assert code == 0, err
    assert out == show_models(str(copy))
    for words in ("14 participants", "60 to 85 years", "split 0, best by BA", "To try things."):
        assert words in out


def test_the_card_says_what_a_reader_needs(shared):
    text = (shared / "README.md").read_text()
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "What for", "On whom it was trained", "How well it does", "Limits",
        "Who may have been in its training", "How to use it", "How to repeat it",
    ]  # fmt: skip
    assert re.search(r"\| split 0, best by BA \| validation \| \d \| \d\.\d{3} \[", text)
    assert "[optimization]" in text


def test_a_place_that_holds_something_is_left_as_it_is(shared, trained_once, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    with pytest.raises(OutputError, match="exists already"):
        push_models(PushConfig(), trained_once, str(tmp_path / "full"))
    with pytest.raises(OutputError, match="exists already"):
        pull_models(str(shared), tmp_path / "full")
    assert [one.name for one in (tmp_path / "full").iterdir()] == ["mine"]


def test_what_was_pulled_is_not_shared_again(pulled, tmp_path, invoke):
    with pytest.raises(UsageError, match="was pulled"):
        push_models(PushConfig(), pulled, str(tmp_path / "again"))
    with pytest.raises(UsageError, match="pulled model"):
        verify(pulled, rerun=True)
    code, _, err = invoke("audit", pulled)
    assert code == 66
    assert "known by hashes alone" in err


def test_a_dry_push_says_what_would_go_and_writes_nothing(trained_once, tmp_path, invoke):
    code, out, err = invoke("hub", "push", trained_once, tmp_path / "shared", "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "would share: split 0, best by BA", "would share: split 0, best by loss",
        f"would write: {tmp_path / 'shared'}",
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_pulled_model_without_its_hashes_is_not_used(pulled, scan):
    names.seen_hidden(pulled).unlink()
    with pytest.raises(MissingInputError, match="Nobody knows any more whom"):
        predict(PredictConfig(image=(scan,), **QUICK), pulled, "one")


def test_a_pulled_model_has_a_report(pulled, invoke):
    code, _, err = invoke("report", pulled)
    assert code == 0, err


def test_a_pulled_model_is_interpreted(pulled, scan):
    interpret(InterpretConfig(image=(scan,), **QUICK), pulled, "one", "why")
    assert [*pulled.rglob("interpret-why/*.pt")]


def test_a_training_from_pulled_weights_is_guarded_and_hands_the_hashes_on(
    pulled, prepared_once, config_of, trained_once, scan, tmp_path
):
    transfer = {"transfer_path": pulled, "transfer_selection_metric": "loss"}
    # The folds of another division: whom the source was fitted on is validated on.
    folds = shutil.copytree(prepared_once / "split/2_fold", tmp_path / "folds")
    for name in ("train", "validation_baseline"):
        (folds / "split-0" / f"{name}.tsv").rename(folds / f"{name}.tsv")
    shutil.copy(folds / "validation_baseline.tsv", folds / "split-0/train.tsv")
    shutil.copy(folds / "train.tsv", folds / "split-0/validation_baseline.tsv")
    (folds / "kfold.json").unlink(missing_ok=True)
    data = {"tsv_directory": folds}
    with pytest.raises(LeakageError, match="validation of split 0 .* in train of the same split"):
        ready(config_of(prepared_once, transfer=transfer, data=data), tmp_path / "new")
    config = config_of(prepared_once, transfer=transfer, optimization={"epochs": 1})
    train(config, tmp_path / "new")
    (carried,) = hidden.read(tmp_path / "new")
    assert carried.who == str(pulled.resolve())
    assert carried.n_participants == 14
    seen = folder.read_seen(trained_once)["participant_id"][0]
    with pytest.raises(LeakageError, match=rf"seen .*{pulled}"):
        config = PredictConfig(image=(scan,), participant=seen, session="ses-M048", **QUICK)
        predict(config, tmp_path / "new", "one")
    push_models(PushConfig(), tmp_path / "new", str(tmp_path / "shared"))
    pull_models(str(tmp_path / "shared"), tmp_path / "grandchild")
    assert [one.who for one in hidden.read(tmp_path / "grandchild")] == ["", "source 1"]
