"""A pulled model refuses what it does not know, and takes what it does."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from clinicadl import (
    InterpretConfig,
    PredictConfig,
    PrepareConfig,
    PushConfig,
    interpret,
    predict,
    prepare_data,
    pull_models,
    push_models,
    read_experiment,
    train,
)
from clinicadl.engine import domain
from clinicadl.engine.domain import FEWEST_IMAGES, Looks
from clinicadl.engine.predict import ready
from clinicadl.errors import InvalidDataError
from clinicadl.layouts import images
from clinicadl.layouts.maps import folder, names

QUICK = {"n_proc": 0, "gpu": False}
MODEL = {"selection_metrics": ("loss",)}


def looks_of(voxels):
    """What is told of an image, by hand: NumPy alone, blocks by their own loops."""
    low, high = voxels.min(), voxels.max()
    scaled = (voxels - low) / (high - low)
    shown = scaled[scaled > 0]
    quantiles = [*np.quantile(shown, [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98])]
    edges = [np.linspace(0, n, 17).astype(int) for n in voxels.shape]
    cells = [
        scaled[a:b, c:d, e:f].mean()
        for a, b in zip(edges[0], edges[0][1:], strict=False)
        for c, d in zip(edges[1], edges[1][1:], strict=False)
        for e, f in zip(edges[2], edges[2][1:], strict=False)
    ]
    return np.array([*quantiles, shown.size / voxels.size]), np.array(cells)


def test_what_is_told_of_images_is_what_a_hand_computes(trained_once, prepared_once):
    found = domain.learnt(folder.open_maps(trained_once))
    table = pd.read_csv(trained_once / "groups/train/split-0/data.tsv", sep="\t")
    other = pd.read_csv(trained_once / "groups/train/split-1/data.tsv", sep="\t")
    keys = {
        *zip(
            *[pd.concat([table, other])[one] for one in ("participant_id", "session_id")],
            strict=True,
        )
    }
    paths = [
        path
        for who, when in sorted(keys)
        for path in prepared_once.glob(f"subjects/{who}/{when}/custom/*.nii.gz")
    ]
    assert found.n_images == len(paths) >= FEWEST_IMAGES
    quantiles, cells = (
        np.stack(one)
        for one in zip(*(looks_of(images.read(path).voxels) for path in paths), strict=True)
    )
    (channel,) = found.channels
    np.testing.assert_allclose(channel.quantiles, np.median(quantiles, axis=0), rtol=1e-5)
    np.testing.assert_allclose(channel.likeness, cells.mean(axis=0), atol=2e-6)
    others = [
        np.corrcoef(one, np.delete(cells, i, axis=0).mean(axis=0))[0, 1]
        for i, one in enumerate(cells)
    ]
    assert channel.least == pytest.approx(1 - max(0.04, 4 * (1 - min(others))), abs=1e-4)


def test_a_constant_image_is_like_nothing():
    flat = Looks(np.zeros(8), np.zeros(27))
    known = domain._learnt([Looks(np.arange(8.0) + k, np.arange(27.0) + k) for k in range(10)])
    assert [*domain._off(known, flat)]
    assert [*domain._off(known, Looks(np.full(8, np.nan), np.full(27, np.nan)))]


def changed(kind, voxels):
    """An image that no longer is what the models know."""
    inside = voxels > 0
    noise = np.random.default_rng(0).uniform(0, voxels.max(), voxels.shape).astype(np.float32)
    return {
        "inverted": voxels.max() - voxels,
        "inverted brain": np.where(inside, 1.05 * voxels.max() - voxels, 0),
        "noise": noise,
        "noise in the brain": np.where(inside, noise, 0),
        "upside down": voxels[:, :, ::-1],
        "back to front": voxels[:, ::-1],
        "moved by 16 mm": np.roll(voxels, 4, axis=1),
        "half of it": np.where(np.arange(voxels.shape[0])[:, None, None] < 21, voxels, 0),
        "one bright voxel": np.where(voxels == voxels.max(), 8 * voxels, voxels),
    }[kind].astype(np.float32)


KINDS = (
    "inverted", "inverted brain", "noise", "noise in the brain", "upside down", "back to front",
    "moved by 16 mm", "half of it", "one bright voxel",
)  # fmt: skip


@pytest.fixture(scope="module")
def ixi(real_data, tmp_path_factory):
    """Models of sex that 30 real brains were shown to, pulled; and the images of all others."""
    home = tmp_path_factory.mktemp("ixi")
    labels = pd.read_csv(real_data / "ixi-caps-4mm/labels.tsv", sep="\t", dtype=str)
    labels = labels[labels["sex"].isin(["F", "M"])].reset_index(drop=True)
    caps, chosen = home / "caps", labels.iloc[:36]
    for who in chosen["participant_id"]:
        source = real_data / "ixi-caps-4mm/subjects" / who
        shutil.copytree(source, caps / "subjects" / who)
    suffix = "desc-Brain_res-4x4x4_T1w.nii.gz"
    prepare_data(
        PrepareConfig(
            caps_directory=caps, extract_json="brain", n_proc=1,
            preprocessing={"name": "custom", "custom_suffix": suffix},
        )
    )  # fmt: skip
    (home / "tables").mkdir()
    chosen.iloc[:30].to_csv(home / "tables/train.tsv", sep="\t", index=False)
    chosen.iloc[30:].to_csv(home / "tables/validation_baseline.tsv", sep="\t", index=False)
    train(
        read_experiment(
            {
                "data": {"caps_directory": caps, "preprocessing_json": "brain",
                         "tsv_directory": home / "tables"},
                "task": {"name": "classification", "label": "sex", "selection_metrics": ["loss"]},
                "network": {"name": "Conv4_FC3"},
                "optimization": {"epochs": 1, "batch_size": 8},
                "compute": {"n_proc": 0, "gpu": False},
            }
        ),
        home / "maps",
    )  # fmt: skip
    push_models(PushConfig(signatures=True), home / "maps", str(home / "shared"))
    pull_models(str(home / "shared"), home / "pulled")
    others = [
        next((real_data / "ixi-caps-4mm/subjects" / who).rglob(f"*{suffix}"))
        for who in labels["participant_id"].iloc[36:]
    ]
    return home, others


def told(home, path, **more):
    """What is off with an image, of a MAPS that is left as it is."""
    return ready(PredictConfig(image=(path,), **QUICK, **MODEL, **more), home / "pulled", "one")


@pytest.mark.data
@pytest.mark.slow
def test_real_brains_that_nobody_trained_on_are_taken(ixi):
    """85 held-out images of the same scanner: no false alarm."""
    home, others = ixi
    found = domain._read(home / "pulled")
    (channel,) = found.channels
    off = []
    for path in others:
        quantiles, cells = looks_of(images.read(path).voxels)
        off += [f"{path.name}: {one}" for one in domain._off(channel, Looks(quantiles, cells))]
    assert len(others) >= 80
    assert off == []
    told(home, others[0])


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_such_brain_is_refused(ixi, tmp_path, kind):
    home, others = ixi
    image = images.read(others[0])
    path = tmp_path / "sub-X_ses-M000_T1w.nii.gz"
    images.write(path, np.ascontiguousarray(changed(kind, image.voxels)), affine=image.affine)
    with pytest.raises(InvalidDataError, match="1 of 1 images are not like those that the models"):
        told(home, path)
    assert not (home / "pulled/groups/one").exists()


@pytest.mark.data
@pytest.mark.slow
def test_another_modality_and_raw_images_are_refused(ixi, real_data, tmp_path):
    home, others = ixi
    renamed = shutil.copy(others[0], tmp_path / "sub-X_ses-M000_FLAIR.nii.gz")
    with pytest.raises(InvalidDataError, match="named as flair, and the models .* on t1w"):
        told(home, renamed)
    (pet,) = (real_data / "pet-linear-caps").rglob("*_pet.nii.gz")
    raw = next((real_data / "ixi-bids-2mm").glob("sub-*/ses-*/anat/*_T1w.nii.gz"))
    (flair,) = (real_data / "open-ms-bids").rglob("*_FLAIR.nii.gz")
    for path in (pet, raw, flair):
        with pytest.raises(InvalidDataError, match="another size than those of training"):
            told(home, path)
    # The same on the grid of training: averaged to voxels of 4 mm.
    grid = images.read(others[0])
    voxels = images.read(pet).voxels[:168, :208, :176]
    coarse = voxels.reshape(42, 4, 52, 4, 44, 4).mean((1, 3, 5))
    images.write(tmp_path / "sub-X_ses-M000_T1w.nii.gz", coarse, affine=grid.affine)
    with pytest.raises(InvalidDataError, match="correlates by|intensities are"):
        told(home, tmp_path / "sub-X_ses-M000_T1w.nii.gz")
    voxels = images.read(raw).voxels[:84, :104, :88]
    coarse = voxels.reshape(42, 2, 52, 2, 44, 2).mean((1, 3, 5))
    images.write(tmp_path / "sub-Y_ses-M000_T1w.nii.gz", coarse, affine=grid.affine)
    with pytest.raises(InvalidDataError, match="correlates by"):
        told(home, tmp_path / "sub-Y_ses-M000_T1w.nii.gz")


@pytest.mark.data
@pytest.mark.slow
def test_signatures_tell_a_head_under_another_name_and_with_other_voxels(ixi, tmp_path):
    home, _ = ixi
    (source, *_) = sorted((home / "caps").rglob("*_T1w.nii.gz"))
    image = images.read(source)
    noise = np.random.default_rng(0).normal(0, 1, image.voxels.shape)
    noisy = np.clip(image.voxels + noise, 1, image.voxels.max())
    voxels = np.where(image.voxels > 0, noisy, 0).astype(np.float32)
    path = tmp_path / "sub-X_ses-M000_T1w.nii.gz"
    images.write(path, voxels, affine=image.affine)
    (found,) = [one for one in told(home, path).verdict.findings if one.pairs]
    assert "shows a head that was seen in train or validation by this MAPS" in found.sentence


def test_an_image_that_is_accepted_in_spite_of_it_says_so_beside_the_results(
    trained_once, prepared_once, tmp_path
):
    push_models(PushConfig(), trained_once, str(tmp_path / "shared"))
    pull_models(str(tmp_path / "shared"), tmp_path / "pulled")
    rows = pd.read_csv(prepared_once / "split/test_baseline.tsv", sep="\t")
    (source,) = prepared_once.glob(f"subjects/{rows['participant_id'][0]}/ses-M000/custom/*.gz")
    path = shutil.copy(source, tmp_path / "sub-X_ses-M000_FLAIR.nii.gz")
    config = PredictConfig(image=(path,), **QUICK, **MODEL)
    with pytest.raises(InvalidDataError, match="named as flair.*--accept-unlike"):
        predict(config, tmp_path / "pulled", "one")
    with pytest.raises(InvalidDataError, match="--accept-unlike"):
        interpret(InterpretConfig(image=(path,), **QUICK), tmp_path / "pulled", "one", "why")
    assert not (tmp_path / "pulled/groups/one").exists()
    accepted = config.model_copy(update={"accept_unlike": "The name is wrong."})
    predict(accepted, tmp_path / "pulled", "one")
    guard = names.guard(names.results(tmp_path / "pulled", 0, "loss", "one"))
    (found,) = json.loads(guard.read_text())["findings"]
    assert found["rule"] == "unlike-images"
    assert found["sentence"].endswith("accepted: The name is wrong.")
    # What is trained here is not asked.
    predict(config, shutil.copytree(trained_once, tmp_path / "own"), "one")
