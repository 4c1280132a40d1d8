"""Training: what is written, what is learnt, what is refused."""

from __future__ import annotations

import copy
import json
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from clinicadl import resume, train
from clinicadl.config.optimization import OptimizationConfig
from clinicadl.data import order
from clinicadl.engine import loop
from clinicadl.engine.events import BatchDone, Evaluated, SplitEnded, SplitStarted
from clinicadl.engine.optimizers import OPTIMIZERS, optimizer, scheduler
from clinicadl.errors import (
    CannotResumeError,
    InvalidDataError,
    LeakageError,
    MissingInputError,
    OutputError,
    UsageError,
)


def log_of(maps, split=0):
    return pd.read_csv(maps / f"split-{split}" / "training_logs" / "training.tsv", sep="\t")


def weights_of(maps, metric="loss", split=0):
    return load_file(maps / f"split-{split}" / f"best-{metric}" / "model.safetensors")


def test_a_learnable_toy_is_learnt(prepared_once, config_of, tmp_path):
    config = config_of(
        prepared_once,
        optimization={"epochs": 25, "learning_rate": 1e-3, "batch_size": 8},
        network={"dropout": 0.0},
    )
    train(config, tmp_path / "maps")
    log = log_of(tmp_path / "maps")
    assert log["loss_train"].iloc[-1] < 0.3 < log["loss_train"].iloc[0]
    assert log["BA_train"].max() == 1.0


def test_every_epoch_has_a_row_and_every_metric_two_columns(trained_once):
    log = log_of(trained_once)
    assert log["epoch"].tolist() == [0, 1, 2]
    assert log.columns[:3].tolist() == ["epoch", "iteration", "time"]
    names = ["BA", "accuracy", "F1_score", "sensitivity", "specificity", "PPV", "NPV", "MCC", "MK",
             "LR_plus", "LR_minus", "loss"]  # fmt: skip
    assert log.columns[3:].tolist() == [f"{n}_train" for n in names] + [f"{n}_valid" for n in names]
    assert (log["time"].diff().dropna() > 0).all()


def test_predictions_hold_each_image_once_in_the_order_of_the_table(trained_once):
    for group in ("train", "validation"):
        table = pd.read_csv(trained_once / "groups" / group / "split-0" / "data.tsv", sep="\t")
        folder = trained_once / "split-0" / "best-loss" / group
        said = pd.read_csv(folder / f"{group}_image_level_prediction.tsv", sep="\t")
        ids = ["participant_id", "session_id"]
        assert said[ids].equals(table[ids])
        assert said.columns.tolist() == [
            *ids, "image_id", "true_label", "predicted_label", "proba0", "proba1",
        ]  # fmt: skip
        codes = json.loads((trained_once / "maps.json").read_text())["label_code"]
        assert said["true_label"].tolist() == table["diagnosis"].map(codes).tolist()


def test_the_best_model_is_that_of_the_best_epoch_in_the_log(trained_once):
    from safetensors import safe_open

    from clinicadl.networks import weights

    log = log_of(trained_once)
    for metric, best in (("loss", log["loss_valid"].idxmin()), ("BA", log["BA_valid"].idxmax())):
        path = trained_once / "split-0" / f"best-{metric}" / "model.safetensors"
        assert weights.read(path).facts["epoch"] == best
        with safe_open(path, "pt") as file:
            assert "convolutions.0.weight" in file.keys()  # noqa: SIM118  # not a mapping


def test_the_loss_of_a_set_does_not_depend_on_the_batch_size(trained_once, prepared_once, tmp_path):
    """The metrics of the best model equal plain PyTorch on all images at once."""
    from clinicadl.config.network import Conv4FC3

    folder = trained_once / "split-0" / "best-loss" / "validation"
    table = pd.read_csv(folder / "validation_image_level_prediction.tsv", sep="\t")
    tensors = {
        path.name.split("_desc")[0]: torch.load(path)
        for path in prepared_once.glob("subjects/*/*/deeplearning_prepare_data/**/*.pt")
    }
    images = torch.stack(
        [tensors[f"{row.participant_id}_{row.session_id}"] for row in table.itertuples()]
    )
    low = images.amin((1, 2, 3, 4), keepdim=True)
    images = (images - low) / (images.amax((1, 2, 3, 4), keepdim=True) - low)
    network = Conv4FC3().build((1, 18, 20, 17), 2).eval()
    network.load_state_dict(weights_of(trained_once))
    with torch.no_grad():
        outputs = network(images)
    expected = F.cross_entropy(outputs, torch.tensor(table["true_label"].to_numpy()))
    metrics = pd.read_csv(folder / "validation_image_level_metrics.tsv", sep="\t", index_col=0)
    assert float(metrics.loc["Values", "loss"]) == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(table["proba0"], outputs.softmax(1)[:, 0], rtol=1e-4)


def test_accumulated_batches_make_the_update_of_one_large_batch(prepared_once, config_of, tmp_path):
    """Sixteen small batches and one large one differ by rounding, without batch normalisation."""
    from clinicadl.engine import loop
    from clinicadl.engine.one_split import _begin, _training
    from clinicadl.engine.plan import plan

    after = []
    for batch_size, steps in ((2, 4), (8, 1)):
        config = config_of(
            prepared_once,
            optimization={
                "batch_size": batch_size,
                "accumulation_steps": steps,
                "optimizer": "SGD",
                "learning_rate": 0.1,
            },
            network={"dropout": 0.0},
        )
        planned = plan(config)
        training = _training(planned, planned.splits[0], tmp_path / f"{batch_size}")
        learner, _ = _begin(planned, training, None)
        for module in learner.network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.forward = lambda maps: maps
        first = copy.deepcopy(learner.network.state_dict())
        updates = [update for _, update in loop.train_epoch(training, {None: learner}, 0) if update]
        assert updates == list(range(1, len(updates) + 1))
        after.append(learner.network.state_dict())
        assert any(not torch.equal(first[name], after[-1][name]) for name in first)
    for name in after[0]:
        torch.testing.assert_close(after[0][name], after[1][name], atol=1e-6, rtol=1e-4)


def test_evaluations_inside_an_epoch_count_weight_updates(prepared_once, config_of, tmp_path):
    config = config_of(
        prepared_once,
        optimization={
            "epochs": 1, "batch_size": 2, "accumulation_steps": 2, "evaluation_steps": 1,
        },
    )  # fmt: skip
    events = []
    train(config, tmp_path / "maps", observers=[events.append])
    log = log_of(tmp_path / "maps")
    started = next(event for event in events if isinstance(event, SplitStarted))
    assert log["iteration"].tolist() == list(range(1, started.updates_per_epoch + 1))
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert [bool(event.improved) for event in evaluated] == [False] * (len(log) - 1) + [True]


def test_observers_are_told_in_order_and_cannot_change_the_run(
    prepared_once, config_of, trained_once, tmp_path
):
    events = []
    train(config_of(prepared_once), tmp_path / "maps", observers=[events.append])
    kinds = [type(event) for event in events if not isinstance(event, BatchDone)]
    assert kinds == [SplitStarted, Evaluated, Evaluated, Evaluated, SplitEnded]
    with pytest.raises(AttributeError, match="frozen|assign"):
        events[0].split = 4
    assert weights_of(tmp_path / "maps").keys() == weights_of(trained_once).keys()


def test_patience_ends_training_early(prepared_once, config_of, tmp_path):
    config = config_of(prepared_once, optimization={"epochs": 9, "patience": 2, "tolerance": 0.99})
    events = []
    train(config, tmp_path / "maps", observers=[events.append])
    assert log_of(tmp_path / "maps")["epoch"].tolist() == [0, 1, 2]
    assert events[-1] == SplitEnded(0, "early stopping")


def test_the_weights_of_every_epoch_are_kept_on_request(prepared_once, config_of, tmp_path):
    config = config_of(prepared_once, optimization={"save_all_models": True})
    train(config, tmp_path / "maps")
    kept = sorted(path.name for path in (tmp_path / "maps/split-0/all_models").iterdir())
    assert kept == [f"model_epoch_{epoch}.safetensors" for epoch in range(3)]


@pytest.mark.parametrize("sampler", order.BY_CLASS)
def test_a_sampler_by_class_changes_the_order_and_not_the_evaluation(
    prepared_once, config_of, trained_once, tmp_path, sampler
):
    train(config_of(prepared_once, data={"sampler": sampler}), tmp_path / "maps")
    ours, theirs = weights_of(tmp_path / "maps"), weights_of(trained_once)
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)
    for group in ("train", "validation"):
        table = f"split-0/best-loss/{group}/{group}_image_level_prediction.tsv"
        ids = ["participant_id", "session_id"]
        said, expected = (
            pd.read_csv(maps / table, sep="\t")[ids].to_numpy().tolist()
            for maps in (tmp_path / "maps", trained_once)
        )
        assert said == expected


@pytest.mark.parametrize("n_parts", [1, 4])
def test_a_balanced_epoch_passes_every_class_equally_often_part_by_part(
    prepared_once, config_of, monkeypatch, tmp_path, n_parts
):
    """AD becomes rare: each of its samples, a part of an image, then comes several times."""
    seen = []
    in_order = loop.in_order

    def heard(training, epoch, networks):
        seen.append((training, in_order(training, epoch, networks)))
        return seen[-1][1]

    monkeypatch.setattr(loop, "in_order", heard)
    tables = shutil.copytree(prepared_once / "split/2_fold/split-0", tmp_path / "tables")
    table = pd.read_csv(tables / "train.tsv", sep="\t")
    rare = table[table["diagnosis"] == "AD"].index[2:]
    table.drop(index=rare).to_csv(tables / "train.tsv", sep="\t", index=False)
    data = {"sampler": "balanced", "tsv_directory": tables}
    if n_parts > 1:
        data["preprocessing_json"] = str(tmp_path / "slices.json")
        content = json.loads((prepared_once / "tensor_extraction/tiny.json").read_text())
        slices = {"mode": "slice", "slice_mode": "single", "discarded_slices": [7, 7]}
        (tmp_path / "slices.json").write_text(json.dumps(content | slices))
    config = config_of(prepared_once, data=data, validation={"n_splits": 0, "split": []})
    train(config, tmp_path / "maps")
    assert len(seen) == 3
    for training, batches in seen:
        rows = [row for batch in batches for row in batch]
        of_classes = Counter(training.targets[row] for row in rows)
        assert len(rows) == n_parts * len(training.train) == n_parts * (len(table) - len(rare))
        assert abs(of_classes[0] - of_classes[1]) <= 1
        n_draws = Counter(rows)
        for label, least in ((0, 2), (1, 0)):
            rows = training.rows(training.train, (None,))
            counts = [n_draws[i] for i in rows if training.targets[i] == label]
            assert least <= min(counts) <= max(counts) <= min(counts) + 1


def test_a_loss_that_is_no_number_ends_the_split_and_keeps_the_checkpoint(
    prepared_once, config_of, tmp_path
):
    config = config_of(
        prepared_once, optimization={"learning_rate": 1e30, "optimizer": "SGD", "epochs": 4}
    )
    with pytest.raises(InvalidDataError, match="epoch . batch .|epoch"):
        train(config, tmp_path / "maps")
    assert (tmp_path / "maps/split-0/tmp").is_dir()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_the_rate_and_the_decay(name):
    network = torch.nn.Linear(3, 2)
    network.bias.requires_grad_(False)
    settings = OptimizationConfig(optimizer=name, learning_rate=0.03, weight_decay=0.007)
    made = optimizer(settings, network)
    group = made.param_groups[0]
    assert type(made).__name__ == name
    assert (group["lr"], group["weight_decay"]) == (0.03, 0.007)
    assert [id(weight) for weight in group["params"]] == [id(network.weight)]


def test_the_rate_falls_on_a_plateau_of_ten_epochs():
    settings = OptimizationConfig(adaptive_learning_rate=True, learning_rate=0.1)
    made = optimizer(settings, torch.nn.Linear(1, 1))
    schedule = scheduler(settings, made)
    for _ in range(12):
        schedule.step(1.0)
    assert made.param_groups[0]["lr"] == pytest.approx(0.01)
    assert scheduler(OptimizationConfig(), made) is None


def test_a_resumed_schedule_goes_on(prepared_once, config_of, tmp_path):
    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, Evaluated) and event.row.epoch == 1:
            raise Killed

    settings = {"optimization": {"adaptive_learning_rate": True, "epochs": 3, "optimizer": "AdamW"}}
    train(config_of(prepared_once, **settings), tmp_path / "straight")
    with pytest.raises(Killed):
        train(config_of(prepared_once, **settings), tmp_path / "broken", observers=[kill])
    resume(tmp_path / "broken")
    one, other = weights_of(tmp_path / "straight"), weights_of(tmp_path / "broken")
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["SGD", "ASGD", "Adagrad", "RMSprop", "Adadelta", "Adamax"])
def test_the_state_of_every_kind_of_optimizer_survives_a_resume(
    prepared_once, config_of, tmp_path, name
):
    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, Evaluated):
            raise Killed

    config = config_of(prepared_once, optimization={"optimizer": name, "epochs": 2})
    train(config, tmp_path / "straight")
    with pytest.raises(Killed):
        train(config, tmp_path / "broken", observers=[kill])
    resume(tmp_path / "broken")
    one, other = weights_of(tmp_path / "straight"), weights_of(tmp_path / "broken")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_resume_can_train_a_split_that_was_left_out(trained):
    resume(trained, splits=[1])
    assert weights_of(trained, split=1)
    assert (trained / "split-1/best-BA/validation").is_dir()


def test_resume_refuses_a_split_that_does_not_exist(trained):
    with pytest.raises(UsageError, match="0, 1"):
        resume(trained, splits=[2])


def started_on(caps, config_of, maps):
    train(config_of(caps), maps)
    return maps


@pytest.mark.parametrize("change", ["table", "image"])
def test_resume_refuses_when_the_data_changed(prepared, config_of, tmp_path, change):
    from clinicadl import PrepareConfig, prepare_data
    from clinicadl.layouts import images

    maps = started_on(prepared, config_of, tmp_path / "maps")
    if change == "table":
        path = prepared / "split/2_fold/split-0/train.tsv"
        path.write_text(path.read_text().replace("\tF\n", "\tM\n", 1))
        match = "train.tsv"
    else:
        table = pd.read_csv(prepared / "split/2_fold/split-0/train.tsv", sep="\t")
        participant = table["participant_id"][0]
        path = next(prepared.glob(f"subjects/{participant}/ses-M000/custom/*.nii.gz"))
        image = images.read(path)
        images.write(path, image.voxels + 1, affine=image.affine)
        suffix = {"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"}
        prepare_data(
            PrepareConfig(
                caps_directory=prepared, preprocessing=suffix, extract_json="tiny", n_proc=1
            )
        )
        match = "images changed"
    with pytest.raises(CannotResumeError, match=match):
        resume(maps)


def test_an_existing_output_is_refused_and_left_as_it_is(prepared_once, config_of, tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        train(config_of(prepared_once), tmp_path / "maps")
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["thesis.txt"]


def test_a_leaking_split_is_refused_and_nothing_is_written(prepared, config_of, tmp_path):
    folder = prepared / "split/2_fold/split-0"
    validation = (folder / "validation_baseline.tsv").read_text().splitlines()
    with (folder / "train.tsv").open("a") as table:
        table.write(validation[1] + "\n")
    with pytest.raises(LeakageError, match=validation[1].split("\t")[0]):
        train(config_of(prepared), tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_the_test_set_set_apart_above_may_not_be_trained_on(prepared, config_of, tmp_path):
    test = (prepared / "split/test_baseline.tsv").read_text().splitlines()
    with (prepared / "split/2_fold/split-1/train.tsv").open("a") as table:
        table.write(test[1] + "\n")
    with pytest.raises(LeakageError, match=test[1].split("\t")[0]):
        train(config_of(prepared), tmp_path / "maps")


def test_first_weights_come_from_the_source_and_so_does_what_it_has_seen(
    trained_once, prepared_once, config_of, tmp_path
):
    config = config_of(
        prepared_once,
        transfer={"transfer_path": trained_once},
        optimization={"learning_rate": 1e-12, "epochs": 1, "weight_decay": 0.0},
    )
    train(config, tmp_path / "maps")
    ours, source = weights_of(tmp_path / "maps"), weights_of(trained_once)
    torch.testing.assert_close(ours["fc.2.weight"], source["fc.2.weight"], atol=1e-6, rtol=0)
    seen = pd.read_csv(tmp_path / "maps/groups/train+validation.tsv", sep="\t").fillna("")
    theirs = pd.read_csv(trained_once / "groups/train+validation.tsv", sep="\t")
    assert sorted(set(seen["seen_by"])) == ["", str(trained_once.resolve())]
    assert len(seen) == 2 * len(theirs)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"network": {"name": "Conv5_FC3"}}, UsageError, "do not fit this network"),
        ({"transfer": {"transfer_selection_metric": "MCC"}}, MissingInputError, "BA, loss"),
        ({"validation": {"split": [1]}}, MissingInputError, "split 1"),
        ({"transfer": {"transfer_path": "nowhere"}}, MissingInputError, "nowhere"),
    ],
)
def test_a_source_that_cannot_be_taken_is_refused(
    trained_once, prepared_once, config_of, tmp_path, change, error, match
):
    sections = {"transfer": {"transfer_path": trained_once}}
    for name, values in change.items():
        sections[name] = {**sections.get(name, {}), **values}
    with pytest.raises(error, match=match):
        train(config_of(prepared_once, **sections), tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_any_column_can_be_the_label_and_nothing_is_filtered_without_a_diagnosis(
    prepared, config_of, tmp_path
):
    for path in [*prepared.glob("split/**/*.tsv"), prepared / "labels.tsv"]:
        pd.read_csv(path, sep="\t").drop(columns="diagnosis").to_csv(path, sep="\t", index=False)
    maps = train(config_of(prepared, task={"label": "sex"}), tmp_path / "maps")
    assert maps.record.label_code == {"F": 0, "M": 1}
    table = pd.read_csv(prepared / "split/2_fold/split-0/train.tsv", sep="\t")
    group = pd.read_csv(tmp_path / "maps/groups/train/split-0/data.tsv", sep="\t")
    assert len(group) == len(table)
    assert group.columns.tolist() == ["participant_id", "session_id", "cohort", "sex"]


def test_only_the_named_diagnoses_are_kept(prepared, config_of, tmp_path):
    for path in prepared.glob("split/**/*.tsv"):
        path.write_text(
            path.read_text().replace("sub-T002\tses-M000\tCN", "sub-T002\tses-M000\tXX")
        )
    train(config_of(prepared), tmp_path / "maps")
    groups = (tmp_path / "maps/groups/train+validation.tsv").read_text()
    assert "sub-T002" not in groups
    with pytest.raises(InvalidDataError, match="fitted on one class|one class"):
        train(config_of(prepared, data={"diagnoses": ["CN"]}), tmp_path / "other")


def test_a_label_code_can_be_given(prepared_once, config_of, tmp_path):
    config = config_of(prepared_once, task={"label_code": {"CN": 0, "AD": 1}})
    train(config, tmp_path / "maps")
    table = pd.read_csv(tmp_path / "maps/groups/train/split-0/data.tsv", sep="\t")
    said = pd.read_csv(
        tmp_path / "maps/split-0/best-loss/train/train_image_level_prediction.tsv", sep="\t"
    )
    assert said["true_label"].tolist() == [int(value == "AD") for value in table["diagnosis"]]


def test_a_tensor_that_does_not_belong_to_its_image_any_more_is_refused(
    prepared, config_of, tmp_path
):
    from clinicadl.layouts import images

    table = pd.read_csv(prepared / "split/2_fold/split-0/train.tsv", sep="\t")
    participant = table["participant_id"][0]
    path = next(prepared.glob(f"subjects/{participant}/ses-M000/custom/*.nii.gz"))
    images.write(path, np.ones((18, 20, 17), np.float32), affine=np.eye(4))
    with pytest.raises(InvalidDataError, match=participant):
        train(config_of(prepared), tmp_path / "maps")


def test_images_of_several_shapes_are_refused(prepared, config_of, tmp_path):
    from clinicadl import PrepareConfig, prepare_data
    from clinicadl.layouts import images

    table = pd.read_csv(prepared / "split/2_fold/split-0/train.tsv", sep="\t")
    participant = table["participant_id"][0]
    path = next(prepared.glob(f"subjects/{participant}/ses-M000/custom/*.nii.gz"))
    voxels = np.arange(18 * 20 * 16, dtype=np.float32).reshape(18, 20, 16)
    images.write(path, voxels, affine=np.eye(4))
    suffix = {"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"}
    prepare_data(
        PrepareConfig(caps_directory=prepared, preprocessing=suffix, extract_json="tiny", n_proc=1)
    )
    with pytest.raises(InvalidDataError, match=participant):
        train(config_of(prepared), tmp_path / "maps")


def test_images_can_be_gone_once_their_tensors_are_there(
    prepared, config_of, trained_once, tmp_path
):
    for path in prepared.rglob("*.nii.gz"):
        path.unlink()
    train(config_of(prepared), tmp_path / "maps")
    ours, theirs = weights_of(tmp_path / "maps"), weights_of(trained_once)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_there_is_no_gpu_to_be_had_by_wishing(prepared_once, config_of, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError, match="--no-gpu"):
        train(config_of(prepared_once, compute={"gpu": True}), tmp_path / "maps")


def test_a_batch_of_one_image_that_is_too_small_to_normalize_is_refused_at_once(
    prepared, config_of, tmp_path
):
    """Behind five poolings an image of 16 voxels is a single one, whose variance is undefined."""
    from clinicadl import PrepareConfig, prepare_data
    from clinicadl.layouts import images

    rng = np.random.default_rng(0)
    for path in prepared.glob("subjects/*/*/custom/*.nii.gz"):
        images.write(path, rng.random((16, 16, 16), dtype=np.float32), affine=np.eye(4))
    suffix = {"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"}
    prepare_data(
        PrepareConfig(caps_directory=prepared, preprocessing=suffix, extract_json="tiny", n_proc=1)
    )
    n_train = len(pd.read_csv(prepared / "split/2_fold/split-0/train.tsv", sep="\t"))
    with pytest.raises(UsageError, match="--batch_size"):
        train(config_of(prepared, optimization={"batch_size": n_train - 1}), tmp_path / "maps")
    assert not (tmp_path / "maps").exists()
    train(config_of(prepared, optimization={"batch_size": 2 * n_train}), tmp_path / "maps")
    assert (tmp_path / "maps/split-0/best-loss").is_dir()
