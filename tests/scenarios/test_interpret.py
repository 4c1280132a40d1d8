"""Interpretation goes the whole way: from a trained MAPS to maps that lie where the images do."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from clinicadl import InterpretConfig, PredictConfig, interpret, predict, read_experiment, train
from clinicadl.engine.verify import DIFFERENT, UNCHECKED, steps
from clinicadl.errors import (
    InvalidDataError,
    LeakageError,
    MissingExtraError,
    MissingInputError,
    OutputError,
    UsageError,
)
from clinicadl.layouts import images
from clinicadl.layouts.maps import folder, names
from clinicadl.networks import weights

GRID = (18, 20, 17)
AFFINE = np.array([[8.0, 0, 0, -68], [0, 8, 0, -90], [0, 0, 8, -60], [0, 0, 0, 1]])
PARTS = {
    "patch": {"patch_size": 9, "stride_size": 8},
    "slice": {"slice_direction": 1, "slice_mode": "rgb", "discarded_slices": [1, 3]},
    "roi": {"roi_list": ["corner", "rim"], "uncropped_roi": True, "roi_custom_template": "T",
            "roi_custom_mask_pattern": ""},
}  # fmt: skip


def group_of(caps, **settings):
    return {
        "caps_directory": caps,
        "participants_tsv": caps / "split" / "test_baseline.tsv",
        "n_proc": 0,
        "gpu": False,
        **settings,
    }


def asked(caps, method="gradients", **settings):
    return InterpretConfig(**group_of(caps, method=method, **settings))


def again(**settings):
    return InterpretConfig(n_proc=0, gpu=False, **settings)


def assert_near(found, expected):
    """Other memory formats make other orders of the same sums; a ReLU whose input is 0 up to that
    may open or not, which changes the voxels that it sees."""
    apart = (found - expected).abs()
    assert apart.median() <= 1e-4 * expected.abs().max()
    assert apart.norm() <= 0.1 * expected.norm()


def verified(maps):
    return [*steps(maps, rerun=False, split=None, observers=())]


def home(maps, name, metric="loss", group="test"):
    return maps / f"split-0/best-{metric}/{group}/interpret-{name}"


def read(path):
    return torch.load(path, weights_only=True)


def files_of(maps):
    return {str(path.relative_to(maps)) for path in maps.rglob("*") if path.is_file()}


def plain_inputs(caps, session="ses-M000"):
    """What the network gets of each image of the test set, computed without the data engine."""
    table = pd.read_csv(caps / "split/test_baseline.tsv", sep="\t")
    for who, when in zip(table["participant_id"], table["session_id"], strict=True):
        path = next((caps / "subjects" / who / when / "custom").glob("*.nii.gz"))
        voxels = torch.from_numpy(images.read(path).voxels)
        yield f"{who}_{when}", ((voxels - voxels.min()) / (voxels.max() - voxels.min()))[None]


def network_of(maps, number=None, split=0):
    opened = folder.open_maps(maps)
    network = opened.record.config.network.build(opened.record.input_shape, 2)
    state = weights.read(names.weights(maps, split, "loss", number)).state
    network.load_state_dict(state)
    return network.eval()


def gradient(network, samples, node=0):
    wanted = samples.clone().requires_grad_()
    network(wanted)[:, node].sum().backward()
    return wanted.grad


def test_maps_of_images_are_gradients_with_the_affine_of_the_scan(trained, prepared_once):
    config = asked(prepared_once, save_individual=True, save_nifti=True, target_node=1)
    interpret(config, trained, "test", "one")
    network, total = network_of(trained), torch.zeros(1, *GRID)
    inputs = dict(plain_inputs(prepared_once))
    for key, image in inputs.items():
        expected = gradient(network, image[None], node=1)[0]
        found = read(home(trained, "one") / f"{key}_image-0_map.pt")
        assert_near(found, expected)
        volume = images.read(home(trained, "one") / f"{key}_image-0_map.nii.gz")
        np.testing.assert_array_equal(volume.voxels, found[0].numpy())
        np.testing.assert_array_equal(volume.affine, AFFINE)
        total += found
    mean = read(home(trained, "one") / "mean_image-0_map.pt")
    torch.testing.assert_close(mean, total / len(inputs))
    volume = images.read(home(trained, "one") / "mean_image-0_map.nii.gz")
    np.testing.assert_array_equal(volume.voxels, mean[0].numpy())
    np.testing.assert_array_equal(volume.affine, AFFINE)
    assert not home(trained, "one", "BA").exists()
    facts = json.loads((home(trained, "one") / "method.json").read_text())
    assert facts["method"] == {"name": "gradients"}
    assert (facts["target_node"], facts["n_images"]) == (1, len(inputs))


def test_only_the_mean_is_kept_unless_asked(trained, prepared_once):
    before = files_of(trained)
    interpret(asked(prepared_once, selection_metrics=()), trained, "test", "one")
    of_one = ["description.log", "guard.json", "mean_image-0_map.pt", "method.json", "sha256.json"]
    expected = {
        f"split-0/best-{metric}/test/interpret-one/{name}"
        for metric in ("loss", "BA")
        for name in of_one
    }
    of_group = ("data.tsv", "maps.json", "sha256.json", "signatures.npz")
    group = {f"groups/test/{name}" for name in of_group}
    assert files_of(trained) - before - {".lock"} == expected | group | {"ledger.tsv"}


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_and_workers_change_nothing_beyond_rounding(trained, prepared_once, batch_size):
    method = {"name": "smoothgrad", "n_samples": 2}
    interpret(asked(prepared_once, method), trained, "test", "one")
    other = again(method=method, batch_size=batch_size).model_copy(update={"n_proc": 2})
    interpret(other, trained, "test", "other")
    one, two = (read(home(trained, name) / "mean_image-0_map.pt") for name in ("one", "other"))
    assert_near(one, two)


@pytest.fixture
def experiment(prepared, config_of):
    """Return a function that makes an experiment of a mode on the prepared CAPS."""
    corner, rim = np.zeros(GRID, dtype=np.float32), np.zeros(GRID, dtype=np.float32)
    corner[2:11, 2:11, 2:11] = 1
    rim[8:16, 8:18, :] = 1
    for name, inside in {"corner": corner, "rim": rim}.items():
        images.write(prepared / f"masks/tpl-T/tpl-T_roi-{name}_mask.nii.gz", inside, affine=AFFINE)

    def of(mode, **sections):
        place = prepared / "tensor_extraction"
        content = json.loads((place / "tiny.json").read_text())
        content |= {"mode": mode, "extract_json": f"{mode}.json", **PARTS.get(mode, {})}
        (place / f"{mode}.json").write_text(json.dumps(content))
        settings = {
            "data": {"preprocessing_json": mode},
            "optimization": {"epochs": 1, "batch_size": 16},
            **sections,
        }
        return config_of(prepared, **settings)

    return of


def cut_by_hand(mode, volume):
    """Number -> (sample, where it lies in the image), without the engine's own cutting."""
    if mode == "patch":
        starts = [(x, y, z) for x in (0, 8) for y in (0, 8) for z in (0, 8)]
        boxes = [tuple(slice(one, one + 9) for one in start) for start in starts]
        return {k: (volume[:, *box], (box, None)) for k, box in enumerate(boxes)}
    if mode == "slice":
        return {
            k: (volume[:, :, k].expand(3, -1, -1), ((slice(None), k), None)) for k in range(1, 17)
        }
    corner, rim = torch.zeros(GRID), torch.zeros(GRID)
    corner[2:11, 2:11, 2:11] = 1
    rim[8:16, 8:18, :] = 1
    whole = (slice(None),) * 3
    return {k: (volume * mask, (whole, mask)) for k, mask in enumerate((corner, rim))}


def normalized(sample):
    return (sample - sample.min()) / (sample.max() - sample.min())


@pytest.mark.parametrize("multi", [False, True], ids=["one-network", "a-network-each"])
@pytest.mark.parametrize("mode", PARTS)
def test_maps_of_parts_are_put_back_to_where_they_were(experiment, prepared, tmp_path, mode, multi):
    if multi and mode == "slice":
        pytest.skip("sixteen networks say no more than eight")
    maps = tmp_path / "maps"
    train(experiment(mode).model_copy(update={"multi_network": multi}), maps)
    interpret(asked(prepared, save_individual=True, save_nifti=True), maps, "test", "one")
    table = pd.read_csv(prepared / "split/test_baseline.tsv", sep="\t")
    sums, n_images = {}, len(table)
    total, where = torch.zeros(GRID, dtype=torch.float64), home(maps, "one")
    for who in table["participant_id"]:
        scan = next((prepared / f"subjects/{who}/ses-M000/custom").glob("*.nii.gz"))
        volume = torch.from_numpy(images.read(scan).voxels)[None]
        assembled, counts = torch.zeros(GRID, dtype=torch.float64), torch.zeros(GRID)
        for place, (k, (sample, (box, mask))) in enumerate(cut_by_hand(mode, volume).items()):
            network = network_of(maps, place if multi else None)
            expected = gradient(network, normalized(sample)[None].contiguous())[0]
            found = read(where / f"{who}_ses-M000_{mode}-{k}_map.pt")
            assert_near(found, expected)
            sums[k] = sums.get(k, 0) + found.double()
            inside = torch.ones(GRID)[box] if mask is None else mask
            assembled[box] += found.double().mean(0) * inside
            counts[box] += inside
        assembled /= counts.clamp(min=1)
        volume = images.read(where / f"{who}_ses-M000_image_map.nii.gz")
        np.testing.assert_allclose(volume.voxels, assembled.numpy(), rtol=1e-5, atol=1e-9)
        np.testing.assert_array_equal(volume.affine, AFFINE)
        total += assembled
    for k, one in sums.items():
        mean = read(where / f"mean_{mode}-{k}_map.pt")
        torch.testing.assert_close(mean, (one / n_images).float())
    volume = images.read(where / "mean_image_map.nii.gz")
    np.testing.assert_allclose(volume.voxels, total.numpy() / n_images, rtol=1e-4, atol=1e-8)
    np.testing.assert_array_equal(volume.affine, AFFINE)
    assert torch.equal(read(where / "mean_image_map.pt")[0], torch.from_numpy(volume.voxels))
    assert {path.name for path in where.glob("mean*.nii.gz")} == {"mean_image_map.nii.gz"}


def test_grad_cam_of_rgb_slices_has_one_channel_and_a_place(experiment, prepared, tmp_path):
    maps = tmp_path / "maps"
    train(experiment("slice"), maps)
    interpret(asked(prepared, "grad-cam", save_nifti=True), maps, "test", "cam")
    assert read(home(maps, "cam") / "mean_slice-5_map.pt").shape == (1, 18, 17)
    whole = images.read(home(maps, "cam") / "mean_image_map.nii.gz").voxels
    one = read(home(maps, "cam") / "mean_slice-5_map.pt")[0].numpy()
    np.testing.assert_allclose(whole[:, 5], one, rtol=1e-6)
    assert not whole[:, [0, 17, 18, 19]].any()


def test_a_regression_is_interpreted(prepared_once, config_of, tmp_path):
    task = {"name": "regression", "label": "age", "selection_metrics": ["loss"]}
    train(config_of(prepared_once, task=task, optimization={"epochs": 1}), tmp_path / "maps")
    with pytest.raises(UsageError, match=r"no such output in --target_node \(found: 1\)"):
        interpret(asked(prepared_once, target_node=1), tmp_path / "maps", "test", "one")
    interpret(asked(prepared_once), tmp_path / "maps", "test", "one")
    assert read(home(tmp_path / "maps", "one") / "mean_image-0_map.pt").any()


def test_the_error_of_a_reconstruction_is_interpreted(prepared_once, tmp_path):
    config = read_experiment({
        "data": {"caps_directory": prepared_once, "preprocessing_json": "tiny",
                 "tsv_directory": prepared_once / "split/2_fold"},
        "network": {"name": "UNet", "unet_levels": 2},
        "optimization": {"epochs": 1, "batch_size": 4},
        "validation": {"n_splits": 2, "split": [0]},
        "compute": {"n_proc": 0, "gpu": False},
        "task": {"name": "reconstruction"},
    })  # fmt: skip
    maps = tmp_path / "maps"
    train(config, maps)
    before = files_of(maps)
    with pytest.raises(UsageError, match="no convolutions"):
        interpret(asked(prepared_once, "grad-cam"), maps, "test", "one")
    with pytest.raises(UsageError, match="It has one: leave this out"):
        interpret(asked(prepared_once, target_node=1), maps, "test", "one")
    assert files_of(maps) == before
    interpret(asked(prepared_once, save_individual=True), maps, "test", "one")
    network = network_of(maps)
    for key, image in plain_inputs(prepared_once):
        wanted = image[None].clone().requires_grad_()
        ((network(wanted) - wanted) ** 2).mean().backward()
        found = read(home(maps, "one") / f"{key}_image-0_map.pt")
        assert_near(found, wanted.grad[0])


def test_several_cohorts_are_one_group(trained, prepared_once, caps_of, tmp_path):
    from clinicadl import PrepareConfig, prepare_data

    other = caps_of(tmp_path / "graz", n_participants=3, first=100)
    suffix = {"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"}
    prepare_data(
        PrepareConfig(caps_directory=other, preprocessing=suffix, extract_json="tiny", n_proc=1)
    )
    tables = {"lyon": prepared_once / "split/test_baseline.tsv", "graz": other / "labels.tsv"}
    places = {"lyon": prepared_once, "graz": other}
    rows = [f"{name}\t{path}" for name, path in places.items()]
    (tmp_path / "caps.tsv").write_text("\n".join(["cohort\tpath", *rows]) + "\n")
    rows = [f"{name}\t{path}\tAD,CN" for name, path in tables.items()]
    (tmp_path / "tables.tsv").write_text("\n".join(["cohort\tpath\tdiagnoses", *rows]) + "\n")
    config = InterpretConfig(
        caps_directory=tmp_path / "caps.tsv", participants_tsv=tmp_path / "tables.tsv",
        multi_cohort=True, n_proc=0, gpu=False, save_individual=True,
    )  # fmt: skip
    interpret(config, trained, "both", "one")
    found = sorted(home(trained, "one", group="both").glob("sub-*"))
    n_images = sum(len(pd.read_csv(path, sep="\t")) for path in tables.values())
    assert len(found) == n_images
    mean = read(home(trained, "one", group="both") / "mean_image-0_map.pt")
    torch.testing.assert_close(mean, torch.stack([read(path) for path in found]).mean(0))


def test_results_and_interpretations_leave_each_other_alone(trained, prepared_once):
    """Whichever comes first; only to define the group anew takes both away."""
    interpret(asked(prepared_once), trained, "test", "first")
    before = home(trained, "first") / "mean_image-0_map.pt"
    kept = before.read_bytes()
    predict(PredictConfig(n_proc=0, gpu=False), trained, "test")
    assert before.read_bytes() == kept
    with pytest.raises(OutputError, match="results exist already"):
        predict(PredictConfig(n_proc=0, gpu=False), trained, "test")
    interpret(again(), trained, "test", "second")
    assert home(trained, "first").with_name("test_image_level_prediction.tsv").exists()
    assert [step.sentence for step in verified(trained) if step.outcome == DIFFERENT] == []
    foreign = [step.sentence for step in verified(trained) if step.outcome == UNCHECKED]
    assert not [said for said in foreign if "interpret" in said]
    ledger = pd.read_csv(trained / "ledger.tsv", sep="\t")
    assert ledger["group"].tolist() == ["test"] * 3
    assert ledger["event"].tolist() == ["interpretation", "look", "interpretation"]
    predict(PredictConfig(**group_of(prepared_once, overwrite=True)), trained, "test")
    assert not home(trained, "first").exists()


def test_a_map_that_was_changed_is_found(trained, prepared_once):
    interpret(asked(prepared_once), trained, "test", "one")
    path = home(trained, "one") / "mean_image-0_map.pt"
    path.write_bytes(path.read_bytes() + b"!")
    wrong = [step.sentence for step in verified(trained) if step.outcome == DIFFERENT]
    assert wrong == [f"{path} is not what was written"]


def test_a_name_is_used_once_unless_it_is_overwritten(trained, prepared_once):
    interpret(asked(prepared_once), trained, "test", "one")
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="interpretation of this name.*--overwrite_name") as error:
        interpret(again(method="grad-cam"), trained, "test", "one")
    assert error.value.exit_code == 73
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before
    interpret(again(method="grad-cam", overwrite_name=True), trained, "test", "one")
    facts = json.loads((home(trained, "one") / "method.json").read_text())
    assert facts["method"] == {"name": "grad-cam", "level": None}


def test_whoever_was_seen_is_refused_and_nothing_is_written(trained, prepared_once):
    rows = prepared_once / "split/2_fold/split-1/train.tsv"
    before = files_of(trained)
    config = asked(prepared_once).model_copy(update={"participants_tsv": rows})
    with pytest.raises(LeakageError, match="sub-T"):
        interpret(config, trained, "new", "one")
    for group in ("train", "validation"):
        with pytest.raises(LeakageError):
            interpret(again(), trained, group, "one")
    assert files_of(trained) == before
    accepted = config.model_copy(update={"accept_leakage": "to look at it"})
    interpret(accepted, trained, "new", "one")
    where = home(trained, "one", group="new")
    assert json.loads((where / "guard.json").read_text())["accepted"] == "to look at it"
    assert "Accepted leakage: to look at it" in (where / "description.log").read_text()


BAD = [
    ({"method": "grad-cam", "level": 99}, UsageError, "fewer modules in --level_grad_cam"),
    ({"target_node": 2}, UsageError, r"no such output in --target_node \(found: 2\). Give 0 to 1"),
    ({"split": [3]}, MissingInputError, "no such trained model"),
    ({"selection_metrics": ["F1"]}, MissingInputError, "no such trained model"),
    ({"participants_tsv": None}, UsageError, "needs its images and its table"),
]


@pytest.mark.parametrize(("settings", "kind", "said"), BAD, ids=lambda one: str(one)[:30])
def test_bad_input_is_refused_before_anything_is_written(
    trained, prepared_once, settings, kind, said
):
    before = files_of(trained)
    settings = dict(settings)
    if "level" in settings:
        settings["method"] = {"name": settings["method"], "level": settings.pop("level")}
    with pytest.raises(kind, match=said):
        interpret(InterpretConfig(**group_of(prepared_once) | settings), trained, "test", "one")
    assert files_of(trained) == before


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden"])
def test_a_name_that_cannot_be_a_folder_is_refused(trained, prepared_once, name):
    with pytest.raises(UsageError, match="cannot name an interpretation"):
        interpret(asked(prepared_once), trained, "test", name)


def test_a_method_whose_package_is_missing_says_what_to_install(
    trained, prepared_once, monkeypatch
):
    monkeypatch.setattr("clinicadl.attribution.interpret.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"captum.*clinicadl\[interpret\]"):
        interpret(asked(prepared_once, "occlusion"), trained, "test", "one")
    interpret(asked(prepared_once, "grad-cam"), trained, "test", "one")


def test_images_of_several_grids_have_no_mean_nifti(trained, prepared, caplog):
    """Each keeps its own affine; a mean of them lies nowhere, and is kept as a tensor alone."""
    from clinicadl import PrepareConfig, prepare_data

    who = pd.read_csv(prepared / "split/test_baseline.tsv", sep="\t")["participant_id"][0]
    scan = next((prepared / f"subjects/{who}/ses-M000/custom").glob("*.nii.gz"))
    moved = AFFINE.copy()
    moved[0, 3] += 5
    images.write(scan, images.read(scan).voxels, affine=moved)
    suffix = {"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"}
    prepare_data(
        PrepareConfig(caps_directory=prepared, preprocessing=suffix, extract_json="tiny", n_proc=1)
    )
    with pytest.raises(InvalidDataError, match="several grids"):
        interpret(asked(prepared, save_nifti=True), trained, "test", "one")
    config = asked(prepared, save_nifti=True, save_individual=True)
    interpret(config, trained, "test", "one")
    assert "their mean map is no NIfTI" in caplog.text
    assert not (home(trained, "one") / "mean_image-0_map.nii.gz").exists()
    found = images.read(home(trained, "one") / f"{who}_ses-M000_image-0_map.nii.gz")
    np.testing.assert_array_equal(found.affine, moved)


def test_a_run_that_fails_leaves_no_map(trained, prepared_once, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clinicadl.data.tensors.write_part", full)
    with pytest.raises(OutputError):
        interpret(asked(prepared_once), trained, "test", "one")
    assert not home(trained, "one").exists()
    assert not list(trained.rglob("*interpret-one*"))


@pytest.mark.skipif(find_spec("captum") is None, reason="captum is not installed")
def test_the_command_line_takes_the_options_of_the_method(trained, prepared_once, invoke):
    words = ["interpret", trained, "test", "one", "occlusion", "--caps_directory", prepared_once,
             "--participants_tsv", prepared_once / "split/test_baseline.tsv", "--no-gpu",
             "--window", 9, "--stride", 9, "--save_nifti"]  # fmt: skip
    before = files_of(trained)
    code, out, err = invoke(*words, "--dry-run")
    assert code == 0, err
    assert f"would write: {home(trained, 'one')}" in out
    assert files_of(trained) == before
    code, out, err = invoke(*words)
    assert code == 0, err
    assert f"maps: {home(trained, 'one')}" in out
    facts = json.loads((home(trained, "one") / "method.json").read_text())
    assert facts["method"] == {"name": "occlusion", "window": 9, "stride": 9}
    assert (home(trained, "one") / "mean_image-0_map.nii.gz").exists()
    code, _, err = invoke("interpret", trained, "test", "two", "gradients", "--window", 9)
    assert code == 2
    assert "window" in err
    code, _, err = invoke("interpret", trained, "test", "two", "gradient")
    assert code == 2
    code, _, err = invoke("interpret", trained, "test", "one", "grad-cam", "-on", "--no-gpu",
                          "--level_grad_cam", 2)  # fmt: skip
    assert code == 0, err


@pytest.mark.skipif(find_spec("captum") is None, reason="captum is not installed")
def test_the_row_in_the_documentation_is_a_method_of_captum(
    trained, prepared_once, tmp_path, clinicadl
):
    page = (Path(__file__).resolve().parents[2] / "docs/commands/interpret.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "my_methods.py").write_text(code)
    done = clinicadl(
        "interpret", trained, "test", "one", "deconvolution", "--no-gpu", "--caps_directory",
        prepared_once, "--participants_tsv", prepared_once / "split/test_baseline.tsv",
        "--plugin", tmp_path / "my_methods.py",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read(home(trained, "one") / "mean_image-0_map.pt").any()


def test_maps_are_scored_tested_and_averaged_over_regions(trained, prepared_once, tmp_path):
    """AD darkens a corner of the image; the tables say how much of it was found."""
    corner, atlas = np.zeros(GRID, dtype=np.float32), np.zeros(GRID, dtype=np.float32)
    corner[2:9, 2:9, 2:9] = 1
    atlas[:9], atlas[9:] = 1, 2
    images.write(tmp_path / "mask.nii.gz", corner, affine=AFFINE)
    images.write(tmp_path / "atlas.nii.gz", atlas, affine=AFFINE)
    (tmp_path / "names.tsv").write_text("index\tname\n1\tleft\n2\tright\n")
    config = asked(
        prepared_once, mask=tmp_path / "mask.nii.gz", atlas=tmp_path / "atlas.nii.gz",
        atlas_labels=tmp_path / "names.tsv", sanity=True, save_individual=True, batch_size=2,
    )  # fmt: skip
    interpret(config, trained, "test", "one")
    where = home(trained, "one")
    scores = pd.read_csv(where / "scores.tsv", sep="\t").set_index("map")
    who = pd.read_csv(prepared_once / "split/test_baseline.tsv", sep="\t")["participant_id"]
    assert sorted(scores.index) == sorted([*(f"{one}_ses-M000" for one in who), "mean"])
    inside = corner.ravel() == 1
    for name in (f"{who[0]}_ses-M000", "mean"):
        important = read(where / f"{name}_image-0_map.pt").abs().numpy().ravel()
        top = np.argsort(important)[-inside.sum() :]
        assert scores["dice"][name] == pytest.approx(inside[top].mean())
        assert scores["AUC"][name] == pytest.approx(roc_auc_score(inside, important))
    regions = pd.read_csv(where / "regions.tsv", sep="\t")
    mean = read(where / "mean_image-0_map.pt")[0].numpy()
    assert regions["name"].tolist() == ["left", "right"]
    np.testing.assert_allclose(regions["mean"], [mean[:9].mean(), mean[9:].mean()], rtol=1e-4)
    tests = pd.read_csv(where / "sanity.tsv", sep="\t")
    layers = [name for name, one in network_of(trained).named_modules() if [*one.parameters(False)]]
    weights_ = tests[tests["test"] == "weights"]
    assert weights_["step"].tolist() == layers[::-1]
    assert weights_["value"].between(-1, 1).all()
    assert (tests["test"] == "deletion").sum() == 11


def test_maps_of_patches_are_scored_in_the_image(experiment, prepared, tmp_path):
    train(experiment("patch"), tmp_path / "maps")
    corner = np.zeros(GRID, dtype=np.float32)
    corner[2:9, 2:9, 2:9] = 1
    images.write(tmp_path / "mask.nii.gz", corner, affine=AFFINE)
    interpret(asked(prepared, mask=tmp_path / "mask.nii.gz"), tmp_path / "maps", "test", "one")
    scores = pd.read_csv(home(tmp_path / "maps", "one") / "scores.tsv", sep="\t").set_index("map")
    mean = read(home(tmp_path / "maps", "one") / "mean_image_map.pt").abs().numpy().ravel()
    assert scores["AUC"]["mean"] == pytest.approx(roc_auc_score(corner.ravel() == 1, mean))
    assert not list(home(tmp_path / "maps", "one").glob("sub-*"))


def test_each_image_is_scored_by_a_mask_of_its_own(trained, prepared_once, tmp_path, invoke):
    who = pd.read_csv(prepared_once / "split/test_baseline.tsv", sep="\t")["participant_id"]
    keys = [f"{one}_ses-M000" for one in who]
    for place, key in enumerate(keys):
        inside = np.zeros(GRID, dtype=np.float32)
        inside[2 + place : 9 + place, 2:9, 2:9] = place > 0  # nothing is to be found in the first
        images.write(tmp_path / f"masks/{key}_mask.nii.gz", inside, affine=AFFINE)
    code, out, err = invoke(
        "interpret", trained, "test", "one", "gradients", "--no-gpu", "--save_individual",
        "--caps_directory", prepared_once, "--participants_tsv",
        prepared_once / "split/test_baseline.tsv", "--mask", tmp_path / "masks",
    )  # fmt: skip
    assert code == 0, err
    where = home(trained, "one")
    scores = pd.read_csv(where / "scores.tsv", sep="\t").set_index("map")
    assert scores.index.tolist() == keys[1:]  # and the mean map has no mask
    for key in keys[1:]:
        inside = images.read(tmp_path / f"masks/{key}_mask.nii.gz").voxels.ravel() > 0
        important = read(where / f"{key}_image-0_map.pt").abs().numpy().ravel()
        assert scores["AUC"][key] == pytest.approx(roc_auc_score(inside, important))
    means = pd.read_csv(where / "scores_mean.tsv", sep="\t").set_index("score")
    assert means["mean"]["AUC"] == pytest.approx(scores["AUC"].mean())
    assert means["low"]["AUC"] < means["mean"]["AUC"] < means["high"]["AUC"]
    assert f"AUC {means['mean']['AUC']:.3f} [{means['low']['AUC']:.3f}" in out
    (tmp_path / f"masks/{keys[1]}_mask.nii.gz").unlink()
    before = files_of(trained)
    with pytest.raises(MissingInputError, match="images have no mask"):
        interpret(again(mask=tmp_path / "masks"), trained, "test", "two")
    assert files_of(trained) == before


def sanity(maps, name):
    return pd.read_csv(home(maps, name) / "sanity.tsv", sep="\t")


def test_what_speaks_against_maps_is_kept_beside_them(trained, prepared_once, caplog):
    """A network whose last layer is 0 looks at nothing: its maps are the same of every image."""
    path = names.weights(trained, 0, "loss")
    stored = weights.read(path)
    state = {
        key: value * 0 if key.startswith("fc.6") else value for key, value in stored.state.items()
    }
    weights.write(path, state, stored.facts)
    interpret(asked(prepared_once, sanity=True), trained, "test", "none")
    found = json.loads(names.method(home(trained, "none")).read_text())["problems"]
    assert found[0] == "The maps are 0 everywhere: the output does not depend on the images"
    assert "are the same everywhere: they say nothing" in found[1]
    assert all(sentence in caplog.text for sentence in found)


def test_sanity_is_the_mean_over_the_images_asked_for_whatever_the_batch(trained, prepared_once):
    interpret(asked(prepared_once, sanity=True, batch_size=3), trained, "test", "all")
    interpret(again(sanity=True, batch_size=1), trained, "test", "single")
    interpret(again(sanity=True, sanity_images=2), trained, "test", "two")
    n_images = len(pd.read_csv(prepared_once / "split/test_baseline.tsv", sep="\t"))
    everybody, single, two = (sanity(trained, name) for name in ("all", "single", "two"))
    assert set(everybody["n_images"]) == {n_images}
    assert set(two["n_images"]) == {2}
    # Batches of another size make other orders of the same sums, and gates of ReLU that flip.
    np.testing.assert_allclose(everybody["value"], single["value"], atol=0.02)
    assert not np.allclose(everybody["value"], two["value"], atol=1e-6)


@pytest.fixture(scope="module")
def shuffled_once(prepared_once, config_of, tmp_path_factory):
    maps = tmp_path_factory.mktemp("shuffled") / "maps"
    data = {"shuffle_labels": True}
    train(config_of(prepared_once, data=data, reproducibility={"seed": 1}), maps)
    return maps


def test_maps_are_compared_with_those_of_shuffled_labels(
    trained, prepared_once, shuffled_once, invoke
):
    config = asked(prepared_once, sanity=True, shuffled_maps=shuffled_once)
    interpret(config, trained, "test", "one")
    found = sanity(trained, "one")
    (row,) = found[found["test"] == "labels"].to_dict("records")
    expected = []
    for _, image in plain_inputs(prepared_once):
        pair = [
            gradient(network_of(maps), image[None]).abs().ravel()
            for maps in (trained, shuffled_once)
        ]
        expected.append(spearmanr(*pair).statistic)
    # The order of the sums differs, and so do gates of ReLU that are nearly shut.
    assert row["value"] == pytest.approx(np.mean(expected), abs=0.02)
    facts = json.loads((home(trained, "one") / "method.json").read_text())
    assert facts["shuffled_maps"] == str(shuffled_once)
    code, out, _ = invoke("interpret", trained, "test", "two", "gradients", "--no-gpu",
                          "--sanity", "--shuffled_maps", shuffled_once)  # fmt: skip
    assert code == 0
    assert f"labels: rank correlation {row['value']:.2f}" in out


def test_a_maps_with_shuffled_labels_must_be_one_and_of_the_same_experiment(
    trained, trained_once, prepared_once, shuffled_once, config_of, tmp_path
):
    before = files_of(trained)

    def refused(kind, said, maps, **settings):
        with pytest.raises(kind, match=said):
            interpret(
                asked(prepared_once, sanity=True, shuffled_maps=maps, **settings),
                trained, "test", "one",
            )  # fmt: skip
        assert files_of(trained) == before

    refused(UsageError, "labels of this MAPS were not shuffled", trained_once)
    refused(MissingInputError, "MAPS does not exist", tmp_path / "absent")
    data = {"shuffle_labels": True}
    other = config_of(
        prepared_once, data=data, network={"dropout": 0.4}, optimization={"epochs": 1},
        task={"name": "classification", "selection_metrics": ["loss"]},
    )  # fmt: skip
    train(other, tmp_path / "other")
    said = r"not of an experiment like this .*found: another network"
    refused(UsageError, said, tmp_path / "other")
    fewer = config_of(
        prepared_once, data=data, optimization={"epochs": 1},
        task={"name": "classification", "selection_metrics": ["loss"]},
    )  # fmt: skip
    train(fewer, tmp_path / "fewer")
    refused(
        MissingInputError, "lacks models .*found: split 0 by BA", tmp_path / "fewer",
        selection_metrics=("BA",),
    )  # fmt: skip


def test_a_mask_on_another_grid_is_refused_before_anything_is_written(
    trained, prepared_once, tmp_path
):
    images.write(tmp_path / "mask.nii.gz", np.eye(3, dtype=np.float32)[None], affine=AFFINE)
    before = files_of(trained)
    config = asked(prepared_once, mask=tmp_path / "mask.nii.gz")
    with pytest.raises(InvalidDataError, match=r"another grid.*mask.nii.gz"):
        interpret(config, trained, "test", "one")
    assert files_of(trained) == before


def test_options_that_need_another_are_refused(trained, invoke):
    for words, missing in (
        (("--atlas_labels", "a.tsv"), "there is no atlas"),
        (("--top_fraction", "0.1"), "there is no mask"),
        (("--shuffled_maps", "maps"), "sanity was not asked for"),
    ):
        code, _, err = invoke("interpret", trained, "test", "one", "gradients", *words)
        assert code == 2
        assert missing in err


def test_a_maps_of_release_1_is_interpreted(published_maps, plain_network, prepared_once, tmp_path):
    from clinicadl import import_maps

    import_maps(published_maps, tmp_path / "new")
    interpret(asked(prepared_once, save_individual=True), tmp_path / "new", "test", "one")
    network = plain_network()
    for key, image in plain_inputs(prepared_once):
        found = read(home(tmp_path / "new", "one") / f"{key}_image-0_map.pt")
        assert_near(found, gradient(network, image[None])[0])


def test_each_channel_has_a_nifti_of_its_own(prepared_once, config_of, tmp_path):
    maps = tmp_path / "maps"
    two = config_of(prepared_once, data={"channels": ["tiny"]}, optimization={"epochs": 1})
    train(two, maps)
    interpret(asked(prepared_once, save_nifti=True), maps, "test", "one")
    mean = read(home(maps, "one") / "mean_image-0_map.pt")
    assert mean.shape == (2, *GRID)
    for channel, expected in enumerate(mean.numpy()):
        volume = images.read(home(maps, "one") / f"mean_image-0_channel-{channel}_map.nii.gz")
        np.testing.assert_array_equal(volume.voxels, expected)
        np.testing.assert_array_equal(volume.affine, AFFINE)
