"""Reconstruction goes the whole way: training, images put together from parts, files."""

from __future__ import annotations

import json
import sys
from math import prod
from types import ModuleType
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from clinicadl import PredictConfig, predict, read_experiment, resume, train
from clinicadl.config.architecture import Architecture
from clinicadl.config.base import setting
from clinicadl.config.network import NETWORKS
from clinicadl.data import tensors
from clinicadl.data.assembly import assembled
from clinicadl.engine.events import BatchDone
from clinicadl.engine.plan import plan
from clinicadl.errors import InvalidDataError, UsageError
from clinicadl.layouts import images
from clinicadl.networks.variational import Variational
from clinicadl.tasks.metrics import RECONSTRUCTION
from clinicadl.tasks.similarity import Pair

GRID = (18, 20, 17)
AFFINE = np.array([[8.0, 0, 0, -68], [0, 8, 0, -90], [0, 0, 8, -60], [0, 0, 0, 1]])
MODES = {
    "image": {},
    "patch": {"patch_size": 9, "stride_size": 5},
    "slice": {"slice_direction": 1, "slice_mode": "rgb", "discarded_slices": [1, 3]},
    "roi": {"roi_list": ["corner", "rim"], "uncropped_roi": True, "roi_custom_template": "T",
            "roi_custom_mask_pattern": ""},
}  # fmt: skip


class TinyVariational(nn.Module):
    """A network of a few weights that says what variational ones say."""

    def __init__(self, shape, top):
        super().__init__()
        self.convolution, self.latent = nn.Conv3d(1, 1, 3, padding=1), nn.Linear(prod(shape), 2)
        self.top = top

    def forward(self, images):
        mu, log_variance = self.latent(images.flatten(1)).chunk(2, dim=1)
        said = self.top * torch.sigmoid(self.convolution(images) + mu.mean())
        return Variational(said, mu, log_variance)


class VariationalRow(Architecture):
    builds: ClassVar[str] = "tiny_networks:variational"
    tasks: ClassVar[tuple[str, ...]] = ("reconstruction",)
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 8, 8, 8)
    reference: ClassVar[str] = "these tests"
    name: Literal["TinyVAE"] = "TinyVAE"
    top: float = setting(1.0, "Highest voxel")


@pytest.fixture(autouse=True)
def _network(monkeypatch):
    module = ModuleType("tiny_networks")
    module.variational = lambda settings, shape, n_outputs: TinyVariational(shape, settings.top)
    monkeypatch.setitem(sys.modules, "tiny_networks", module)
    monkeypatch.setitem(NETWORKS, "TinyVAE", VariationalRow)


@pytest.fixture
def experiment(prepared):
    """Return a function that makes a reconstruction in a mode on the prepared CAPS."""
    for name, box in (("corner", (slice(2, 11), slice(3, 9), slice(12))),
                      ("rim", (slice(8, 18), slice(5, 20), slice(2, 5)))):  # fmt: skip
        voxels = np.zeros(GRID, dtype=np.float32)
        voxels[box] = 1
        images.write(prepared / f"masks/tpl-T/tpl-T_roi-{name}_mask.nii.gz", voxels, affine=AFFINE)

    def of(mode="image", **sections):
        path = prepared / "tensor_extraction"
        content = json.loads((path / "tiny.json").read_text())
        content |= {"mode": mode, "prepare_dl": False, "extract_json": f"{mode}.json"}
        (path / f"{mode}.json").write_text(json.dumps({**content, **MODES[mode]}))
        quick = {
            "data": {
                "caps_directory": prepared, "preprocessing_json": mode,
                "tsv_directory": prepared / "split/2_fold",
            },
            "optimization": {"epochs": 2, "batch_size": 4, "learning_rate": 1e-2},
            "validation": {"n_splits": 2, "split": [0]},
            "compute": {"n_proc": 0, "gpu": False},
            "task": {"name": "reconstruction"},
        }  # fmt: skip
        for name, values in sections.items():
            quick[name] = {**quick.get(name, {}), **values}
        return read_experiment(quick)

    return of


def read(maps, group, level, kind="prediction"):
    path = maps / f"split-0/best-loss/{group}/{group}_{level}_level_{kind}.tsv"
    return pd.read_csv(path, sep="\t")


def of_test_set(caps, **settings):
    return PredictConfig(
        caps_directory=caps, participants_tsv=caps / "split/test_baseline.tsv", n_proc=0,
        gpu=False, batch_size=7, **settings,
    )  # fmt: skip


def check_means(predictions, metrics, names=("loss",)):
    assert list(metrics.columns) == ["Metrics", *RECONSTRUCTION, *names]
    for name in RECONSTRUCTION:
        assert float(metrics[name][0]) == pytest.approx(predictions[name].mean(), rel=1e-9)
        assert float(metrics[name][1]) <= float(metrics[name][0]) <= float(metrics[name][2])


def test_images_are_learnt_and_judged(experiment, prepared, tmp_path):
    maps = tmp_path / "maps"
    config = experiment(
        task={"selection_metrics": ["loss", "SSIM"]}, optimization={"epochs": 12},
        network={"name": "UNet", "unet_levels": 2},
    )  # fmt: skip
    train(config, maps)
    log = pd.read_csv(maps / "split-0/training_logs/training.tsv", sep="\t")
    names = [*RECONSTRUCTION, "loss"]
    assert list(log.columns)[3:] == [f"{n}_train" for n in names] + [f"{n}_valid" for n in names]
    assert log["PSNR_valid"].iloc[-1] > log["PSNR_valid"].iloc[0] + 3
    np.testing.assert_allclose(log["loss_valid"], log["MSE_valid"], rtol=1e-5)
    assert (maps / "split-0/best-SSIM/model.safetensors").exists()
    predict(of_test_set(prepared), maps, "test")
    for group in ("train", "validation", "test"):
        predictions = read(maps, group, "image")
        assert list(predictions.columns) == [
            "participant_id", "session_id", "image_id", *RECONSTRUCTION,
        ]  # fmt: skip
        check_means(predictions, read(maps, group, "image", "metrics"))
    record = json.loads((maps / "maps.json").read_text())
    assert record["config"]["task"]["loss"] == "MSELoss"
    assert not (maps / "split-0/best-loss/test/tensors").exists()


@pytest.mark.parametrize("mode", MODES)
def test_the_first_image_of_each_group_is_kept_after_training(experiment, tmp_path, mode):
    maps = tmp_path / "maps"
    train(experiment(mode, optimization={"epochs": 1}), maps)
    for group in ("train", "validation"):
        rows = read(maps, group, mode)
        ids = ["participant_id", "session_id"]
        first = rows[(rows[ids] == rows[ids].iloc[0]).all(axis=1)]
        kept = maps / f"split-0/best-loss/{group}/tensors"
        expected = [
            f"{row.participant_id}_{row.session_id}_{mode}-{number}_{kind}.pt"
            for row, number in zip(first.itertuples(), first[f"{mode}_id"], strict=True)
            for kind in ("input", "output")
        ]
        assert sorted(path.name for path in kept.iterdir()) == sorted(expected)
        assert not kept.with_name("nifti_images").exists()


def kept(maps, sample):
    folder = maps / "split-0/best-loss/test/tensors"
    return [tensors.read(folder / f"{sample}_{kind}.pt") for kind in ("input", "output")]


@pytest.mark.parametrize("mode", MODES)
def test_files_and_tables_of_a_group_say_the_same(experiment, prepared, tmp_path, mode):
    """Everything is found again from the kept tensors, with plain tools."""
    maps = tmp_path / "maps"
    config = experiment(mode, optimization={"epochs": 1})
    train(config, maps)
    predict(of_test_set(prepared, save_tensor=True, save_nifti=True), maps, "test")
    rows, whole = read(maps, "test", mode), read(maps, "test", "image")
    settings = plan(config).stored.parts
    niftis = maps / "split-0/best-loss/test/nifti_images"
    assert len(list(niftis.iterdir())) == 2 * len(whole)
    for image in whole.itertuples():
        name = f"{image.participant_id}_{image.session_id}"
        own = rows[rows["participant_id"] == image.participant_id]
        both = [kept(maps, f"{name}_{mode}-{number}") for number in own[f"{mode}_id"]]
        for (_, row), pair in zip(own.iterrows(), both, strict=True):
            for metric, entry in RECONSTRUCTION.items():
                assert row[metric] == pytest.approx(entry.function(Pair(*pair)), rel=1e-9)
        made = [assembled(settings, list(some)) for some in zip(*both, strict=True)]
        pair = Pair(made[0].volume, made[1].volume, made[0].covered)
        for metric, entry in RECONSTRUCTION.items():
            assert getattr(image, metric) == pytest.approx(entry.function(pair), rel=1e-9)
        for kind, one in zip(("input", "output"), made, strict=True):
            stored = images.read(niftis / f"{name}_image_{kind}.nii.gz")
            assert np.array_equal(stored.voxels, one.volume[0].numpy())
            np.testing.assert_array_equal(stored.affine, AFFINE)
    names = ("loss",) if mode == "image" else ()
    check_means(whole, read(maps, "test", "image", "metrics"), names)
    check_means(rows, read(maps, "test", mode, "metrics"))


def test_voxels_without_a_part_do_not_count(experiment, prepared, tmp_path):
    """Patches of 9 every 5 leave a border of 18 x 20 x 17 that no patch has."""
    maps = tmp_path / "maps"
    config = experiment("patch", optimization={"epochs": 1})
    train(config, maps)
    parts = plan(config).stored.parts
    assert parts.image_shape == (1, *GRID)
    covered = assembled(parts, [torch.ones(parts.shape)] * len(parts)).covered
    assert 0 < (~covered).sum() < covered.numel()
    whole = read(maps, "validation", "image")
    assert (whole["MAE"] < 1).all()
    assert len(whole) == len(whole.drop_duplicates(["participant_id", "session_id"]))


def test_a_network_for_each_part_gives_back_images_too(experiment, prepared, tmp_path):
    maps = tmp_path / "maps"
    config = experiment(
        "roi", network={"name": "UNet", "unet_levels": 2}, optimization={"epochs": 1}
    ).model_copy(update={"multi_network": True})
    train(config, maps)
    predict(of_test_set(prepared, save_tensor=True), maps, "test")
    for image in read(maps, "test", "image").itertuples():
        name = f"{image.participant_id}_{image.session_id}"
        both = zip(*(kept(maps, f"{name}_roi-{number}") for number in range(2)), strict=True)
        made = [assembled(plan(config).stored.parts, list(some)) for some in both]
        pair = Pair(made[0].volume, made[1].volume, made[0].covered)
        assert pytest.approx(RECONSTRUCTION["SSIM"].function(pair), rel=1e-9) == image.SSIM


def test_the_batch_size_does_not_change_what_is_said_of_images(experiment, prepared, tmp_path):
    maps = tmp_path / "maps"
    train(experiment("patch", optimization={"epochs": 1}), maps)
    for size in (1, 5, 64):
        config = of_test_set(prepared).model_copy(update={"batch_size": size})
        predict(config, maps, f"of{size}")
    tables = [read(maps, f"of{size}", "image") for size in (1, 5, 64)]
    for other in tables[1:]:  # float32 sums of the network in another order
        pd.testing.assert_frame_equal(tables[0], other, rtol=1e-4)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(None, "VAEGaussianLoss"), ("VAEBernoulliLoss", None), ("VAEContinuousBernoulliLoss", None)],
)
def test_a_variational_network_is_trained_with_its_loss(experiment, tmp_path, loss, expected):
    maps = tmp_path / "maps"
    train(experiment(network={"name": "TinyVAE"}, task={"loss": loss, "kl_weight": 0.5}), maps)
    record = json.loads((maps / "maps.json").read_text())
    assert record["config"]["task"]["loss"] == (expected or loss)
    log = pd.read_csv(maps / "split-0/training_logs/training.tsv", sep="\t")
    assert [name for name in log.columns if name.endswith("loss_train")] == [
        "loss_train", "recon_loss_train", "kl_loss_train",
    ]  # fmt: skip
    if loss != "VAEContinuousBernoulliLoss":
        whole = log["recon_loss_valid"] + 0.5 * log["kl_loss_valid"]
        np.testing.assert_allclose(log["loss_valid"], whole, rtol=1e-5)
    metrics = read(maps, "validation", "image", "metrics")
    assert list(metrics.columns)[-3:] == ["loss", "recon_loss", "kl_loss"]
    assert "loss" not in read(maps, "validation", "image").columns


def test_a_killed_training_goes_on_to_the_same_bits(experiment, tmp_path):
    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, BatchDone) and event.epoch == 1:
            raise Killed

    sections = {"network": {"name": "TinyVAE"}, "optimization": {"epochs": 3, "batch_size": 4}}
    train(experiment(**sections), tmp_path / "one")
    with pytest.raises(Killed):
        train(experiment(**sections), tmp_path / "other", observers=[kill])
    resume(tmp_path / "other")
    for name in ("model.safetensors", "train/train_image_level_metrics.tsv"):
        one, other = (tmp_path / maps / "split-0/best-loss" / name for maps in ("one", "other"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"data": {"sampler": "weighted"}}, r"no label.*--sampler \(found: weighted\)"),
        ({"network": {"name": "Conv5_FC3"}}, "Conv5_FC3 is not for reconstruction"),
        ({"network": {"name": "TinyVAE"}, "task": {"loss": "L1Loss"}}, "variational.*L1Loss"),
        ({"task": {"loss": "VAEGaussianLoss"}}, "not variational.*VAEGaussianLoss"),
        ({"task": {"kl_weight": 2}}, "nothing to weigh"),
        (
            {"network": {"name": "TinyVAE"}, "task": {"loss": "VAEBernoulliLoss"},
             "transforms": {"normalization": {"name": "z-score"}}},
            r"leave \[0, 1\].*--normalization \(found: z-score\).*min-max or percentile",
        ),
        (
            {"network": {"name": "TinyVAE"}, "task": {"loss": "VAEContinuousBernoulliLoss"},
             "transforms": {"normalize": False}},
            r"leave \[0, 1\].*--normalization \(found: unnormalize\)",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_written(
    experiment, tmp_path, sections, words
):
    with pytest.raises(UsageError, match=words):
        train(experiment(**sections), tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_a_network_that_leaves_the_unit_interval_is_refused_by_a_loss_of_probabilities(
    experiment, tmp_path
):
    sections = {"network": {"name": "TinyVAE", "top": 3}, "task": {"loss": "VAEBernoulliLoss"}}
    with pytest.raises(UsageError, match=r"outside of \[0, 1\].*Take VAEGaussianLoss"):
        train(experiment(**sections), tmp_path / "maps")


def test_labels_and_files_that_cannot_be_are_refused(experiment, prepared, trained, tmp_path):
    maps = tmp_path / "mine"
    train(experiment(optimization={"epochs": 1}), maps)
    with pytest.raises(UsageError, match="learnt no label in --label"):
        predict(of_test_set(prepared, label=("age",)), maps, "test")
    for wanted in ({"save_tensor": True}, {"save_nifti": True}):
        with pytest.raises(UsageError, match="Only a reconstruction gives back images"):
            predict(of_test_set(prepared, **wanted), trained, "test")
    assert not (maps / "groups/test").exists()
    assert not (trained / "groups/test").exists()


def test_images_of_an_unknown_place_have_no_nifti(experiment, prepared, tmp_path, monkeypatch):
    from dataclasses import replace

    from clinicadl.engine import groups as predicting

    maps = tmp_path / "maps"
    train(experiment(optimization={"epochs": 1}), maps)
    real = predicting.prepared

    def lost(*arguments):
        stored = real(*arguments)
        (channel,) = stored.channels
        origins = {key: replace(one, affine=None) for key, one in channel.origins.items()}
        return replace(stored, channels=(replace(channel, origins=origins),))

    monkeypatch.setattr(predicting, "prepared", lost)
    with pytest.raises(InvalidDataError, match=r"Nobody knows.*--save_nifti.*sub-T"):
        predict(of_test_set(prepared, save_nifti=True), maps, "test")
    predict(of_test_set(prepared, save_tensor=True), maps, "test")


def test_no_labels_makes_no_difference(experiment, prepared, tmp_path):
    maps = tmp_path / "maps"
    train(experiment(optimization={"epochs": 1}), maps)
    predict(of_test_set(prepared, use_labels=False), maps, "test")
    check_means(read(maps, "test", "image"), read(maps, "test", "image", "metrics"))


def test_the_commands_train_and_keep_images(experiment, prepared, tmp_path, invoke):
    maps = tmp_path / "maps"
    experiment()
    words = ["train", "reconstruction", prepared, "image", prepared / "split/2_fold", maps,
             "--n_splits", 2, "--split", 0, "--epochs", 1, "--no-gpu", "-np", 0]  # fmt: skip
    code, out, _ = invoke(*words, "--dry-run")
    assert code == 0
    assert 'name = "AE_Conv5_FC3"' in out
    assert 'loss = "MSELoss"' in out
    assert not maps.exists()
    code, _, said = invoke(*words)
    assert code == 0
    assert "MAE" in said
    code, _, _ = invoke(
        "predict", maps, "test", "--caps_directory", prepared, "--participants_tsv",
        prepared / "split/test_baseline.tsv", "--save_tensor", "--save-nifti", "--no-gpu",
    )  # fmt: skip
    assert code == 0
    folder = maps / "split-0/best-loss/test"
    assert len(list((folder / "tensors").iterdir())) == 12
    assert len(list((folder / "nifti_images").iterdir())) == 12
    code, _, said = invoke(*words, "--label", "age")
    assert code == 2
    assert "No such option" in said
