from __future__ import annotations

import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinicadl.errors import OutputError
from clinicadl.layouts import caps as caps_layout
from clinicadl.layouts import images
from clinicadl.layouts.maps import names

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"


@pytest.fixture(scope="module")
def scripts():
    """The scripts as they see each other: their own folder comes first in the path."""
    pytest.importorskip("nilearn")
    pytest.importorskip("matplotlib")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DEMO)
        yield {name: import_module(name) for name in ("make_caps", "picture", "run")}


@pytest.fixture(scope="module")
def made(scripts, tmp_path_factory):
    """A CAPS of four participants."""
    folder = tmp_path_factory.mktemp("demo") / "caps"
    list(scripts["make_caps"].make_caps(folder, n_participants=4, seed=0))
    return folder


def _contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _table(path):
    return pd.read_csv(path, sep="\t")


def test_images_lie_on_the_crop_grid_averaged_over_four_millimetres(scripts, made):
    preprocessing = scripts["make_caps"].SUFFIX
    index = caps_layout.index(
        made, caps_layout.PREPROCESSINGS["custom"](custom_suffix=preprocessing)
    )
    labels = _table(made / "labels.tsv")
    assert list(index) == list(zip(labels["participant_id"], labels["session_id"], strict=True))
    expected = np.diag([4.0, 4.0, 4.0, 1.0])
    # The mean of the positions -84, -83, -82, -81 mm, and so on: the crop grid starts there.
    expected[:3, 3] = (-82.5, -117.5, -76.5)
    for image in index.values():
        found = images.read(image.path)
        assert found.voxels.shape == (42, 52, 44)
        np.testing.assert_array_equal(found.affine, expected)


def test_the_template_keeps_its_place_in_the_world(scripts):
    from nilearn.datasets import load_mni152_template

    template = scripts["make_caps"].read_template()
    original = load_mni152_template(resolution=1)
    voxels = original.get_fdata()
    for centre_mm in ((-26.5, -21.5, -12.5), (5.5, 30.5, 43.5), (1.5, -41.5, -40.5)):
        large = np.linalg.inv(scripts["make_caps"].AFFINE) @ [*centre_mm, 1]
        i, j, k = np.rint(large[:3]).astype(int)
        np.testing.assert_allclose(large[:3], (i, j, k), atol=1e-9)
        low = np.linalg.inv(original.affine) @ [*(np.array(centre_mm) - 1.5), 1]
        x, y, z = np.rint(low[:3]).astype(int)
        mean = voxels[x : x + 4, y : y + 4, z : z + 4].mean()
        np.testing.assert_allclose(template.voxels[i, j, k], mean, rtol=1e-6)


def test_the_mask_covers_both_hippocampi_and_nothing_farther_than_nine_millimetres(scripts, made):
    mask = images.read(made / scripts["make_caps"].mask_path(scripts["make_caps"].TRUTH))
    assert set(np.unique(mask.voxels)) == {0, 1}
    inside = np.argwhere(mask.voxels > 0) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    centres = np.array(scripts["make_caps"].HIPPOCAMPI_MM)
    distance = np.linalg.norm(inside[:, None] - centres, axis=-1)
    # A voxel is in the mask where any of its corners may be near enough.
    assert distance.min(axis=1).max() <= 9 + np.sqrt(3) * 2
    counts = np.bincount(distance.argmin(axis=1))
    # A ball of 9 mm has 3054 mm3, and voxels at its edge count whole.
    assert np.all(counts * 64 > 3054)
    assert np.all(counts * 64 < 3 * 3054)


def test_each_region_is_a_cube_with_the_whole_atrophy_of_its_side(scripts, made):
    demo = scripts["make_caps"]
    truth = images.read(made / demo.mask_path(demo.TRUTH))
    side = np.indices(demo.SHAPE)[0] * 4 - 82.5
    union = np.zeros(demo.SHAPE, bool)
    for region, sign in (("leftHippocampus", -1), ("rightHippocampus", 1)):
        mask = images.read(made / demo.mask_path(region))
        np.testing.assert_array_equal(mask.affine, truth.affine)
        assert mask.voxels.sum() == 12**3
        places = np.argwhere(mask.voxels)
        assert (places.max(axis=0) - places.min(axis=0) == 11).all()
        assert np.all(mask.voxels[(truth.voxels > 0) & (sign * side > 0)])
        union |= mask.voxels > 0
    assert not set(demo.REGIONS) - {"leftHippocampus", "rightHippocampus"}
    assert union.sum() == 2 * 12**3


def test_a_fourth_of_the_patches_holds_the_atrophy_and_the_others_nothing_of_it(scripts, made):
    from clinicadl.config.mode import PatchMode
    from clinicadl.data import parts

    truth = images.read(made / scripts["make_caps"].mask_path(scripts["make_caps"].TRUTH)).voxels
    (words,) = (one.parts for one in scripts["run"].EXPERIMENTS if one.mode == "patch")
    given = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    mode = PatchMode(patch_size=given["--patch_size"], stride_size=given["--stride_size"])
    cut = parts.of(mode, (1, *truth.shape))
    held = []
    for index in range(len(cut)):
        window = cut.window(index)
        inside = truth[tuple(map(slice, window.start, window.stop))]
        held.append(int(inside.sum()))
    assert len(held) == 8
    assert sum(n > 0 for n in held) == 2
    # The outermost voxels of the atrophy, where least is lost, lie beyond a border.
    assert sum(held) >= 0.9 * truth.sum()


def test_atrophy_darkens_tissue_inside_the_mask_and_touches_nothing_else(scripts):
    demo = scripts["make_caps"]
    template, profile = demo.read_template(), demo.atrophy_profile()
    brain = demo.draw_brain(template, i=0, seed=0)
    whole, lost = (
        demo.draw_image(brain, share * profile, i=0, session="ses-M000", seed=0).astype(int)
        for share in (0.0, 0.8)
    )
    np.testing.assert_array_equal(whole[profile == 0], lost[profile == 0])
    assert np.all(lost <= whole)
    assert np.all(lost[profile > 0.5] < whole[profile > 0.5])


def test_sessions_share_the_brain_and_not_the_noise(scripts):
    demo = scripts["make_caps"]
    brain = demo.draw_brain(demo.read_template(), i=0, seed=0)
    nothing = np.zeros(demo.SHAPE)
    first, second = (
        demo.draw_image(brain, nothing, i=0, session=session, seed=0) for session in demo.SESSIONS
    )
    assert not np.array_equal(first, second)
    person = demo.Participant("sub-DEMO000", "AD", 70.0, "F", tuple(demo.SESSIONS), 0.5)
    assert person.atrophy_at("ses-M012") > person.atrophy_at("ses-M000") == 0.5
    assert person._replace(atrophy=0.0).atrophy_at("ses-M012") == 0


def test_displacements_have_the_size_that_is_promised(scripts):
    demo = scripts["make_caps"]
    # A template whose intensity is the position along x shows the displacement along x.
    ramp = np.indices(demo.SHAPE)[0] / demo.SHAPE[0]
    template = demo.Template(ramp, demo.spline_filter(ramp, order=3), None)
    middle = tuple(slice(4, -4) for _ in demo.SHAPE)
    squares = [
        ((demo.draw_brain(template, i=i, seed=0) - ramp)[middle] * demo.SHAPE[0] * 4) ** 2
        for i in range(6)
    ]
    # One of three axes; the edges, where displacements differ, are left out: hence the tolerance.
    np.testing.assert_allclose(np.sqrt(3 * np.mean(squares)), 1.5, rtol=0.3)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(scripts, made, tmp_path):
    for name, seed in (("again", 0), ("other", 1)):
        list(scripts["make_caps"].make_caps(tmp_path / name, n_participants=4, seed=seed))
    assert _contents(tmp_path / "again") == _contents(made)
    image = "subjects/sub-DEMO000/ses-M000/custom/"
    image += f"sub-DEMO000_ses-M000_space-MNI152_{scripts['make_caps'].SUFFIX}"
    assert _contents(tmp_path / "other")[image] != _contents(made)[image]


def test_a_participant_is_the_same_however_many_there_are(scripts):
    demo = scripts["make_caps"]
    brains = [demo.draw_brain(demo.read_template(), i=2, seed=0) for _ in range(2)]
    np.testing.assert_array_equal(*brains)
    few, many = demo.draw_participants(4, 0), demo.draw_participants(8, 0)
    assert [p.age for p in few] == [p.age for p in many[:4]]


def test_half_have_the_atrophy_and_demographics_say_nothing_of_it(scripts):
    people = scripts["make_caps"].draw_participants(400, 0)
    ill = np.array([person.diagnosis == "AD" for person in people])
    assert ill.sum() == 200
    assert all((person.atrophy > 0) == is_ill for person, is_ill in zip(people, ill, strict=True))
    age = np.array([person.age for person in people])
    is_female = np.array([person.sex == "F" for person in people])
    assert age.min() >= 55
    assert age.max() <= 90
    # Five standard errors of a difference of means of 200 and 200.
    assert abs(age[ill].mean() - age[~ill].mean()) < 5 * age.std() / 10
    assert abs(is_female[ill].mean() - is_female[~ill].mean()) < 5 * 0.5 / 10


def test_shuffling_gives_diagnoses_to_other_participants_and_leaves_the_images(
    scripts, made, tmp_path
):
    demo = scripts["make_caps"]
    shuffled = tmp_path / "caps"
    list(demo.make_caps(shuffled, n_participants=4, seed=0, labels_shuffled=True))
    before, after = _contents(made), _contents(shuffled)
    assert before.pop("labels.tsv") != after.pop("labels.tsv")
    assert before == after
    labels = _table(shuffled / "labels.tsv")
    assert (labels.groupby("participant_id")["diagnosis"].nunique() == 1).all()


def test_shuffled_labels_are_the_same_labels_and_say_nothing_of_the_truth(scripts):
    demo = scripts["make_caps"]
    people = demo.draw_participants(400, 0)
    shuffled = demo.shuffled(people, 0)
    assert [p.name for p in shuffled] == [p.name for p in people]
    assert sorted(p.diagnosis for p in shuffled) == sorted(p.diagnosis for p in people)
    agree = np.mean([a.diagnosis == b.diagnosis for a, b in zip(people, shuffled, strict=True)])
    assert abs(agree - 0.5) < 5 * 0.5 / 20


def test_an_existing_caps_is_refused_and_left_alone(scripts, tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(OutputError):
        list(scripts["make_caps"].make_caps(tmp_path, n_participants=2, seed=0))
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_a_folder_of_the_demonstration_is_made_anew(scripts, tmp_path):
    folder = tmp_path / "demo"
    scripts["run"].start_afresh(folder)
    (folder / "old.txt").write_text("old")
    scripts["run"].start_afresh(folder)
    assert [path.name for path in folder.iterdir()] == [scripts["run"].MARKER]


def test_a_folder_of_somebody_else_is_never_removed(scripts, tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(OutputError, match="did not make"):
        scripts["run"].start_afresh(tmp_path)
    assert (tmp_path / "kept.txt").read_text() == "mine"


def test_a_link_is_never_followed_to_be_removed(scripts, tmp_path):
    scripts["run"].start_afresh(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OutputError):
        scripts["run"].start_afresh(tmp_path / "link")
    assert (tmp_path / "real" / scripts["run"].MARKER).is_file()


def test_only_the_first_step_differs_when_labels_are_shuffled(scripts):
    plain = scripts["run"].steps(Path("demo"))
    shuffled = scripts["run"].steps(Path("demo"), labels_shuffled=True)
    assert shuffled[0] == [*plain[0], "--shuffle-labels"]
    assert shuffled[1:] == plain[1:]


def test_the_tutorial_shows_the_commands_as_they_are_run(scripts, monkeypatch):
    monkeypatch.chdir(DEMO.parents[1])
    page = (DEMO.parents[1] / "docs" / "tutorials" / "demo.md").read_text()
    shown = [shlex.split(line) for line in page.replace("\\\n", " ").splitlines()
             if line.startswith(("clinicadl ", "python examples/demo/"))]  # fmt: skip
    own = [words for words in shown if words[0] == "clinicadl" or "run.py" not in words[1]]
    assert own == scripts["run"].steps(Path("demo"))


def test_the_table_has_each_mode_split_and_choice_with_its_interval(scripts, made, tmp_path):
    run = scripts["run"]
    for number, experiment in enumerate(run.EXPERIMENTS):
        for selection in run.SELECTION:
            path = names.metrics(
                names.results(experiment.maps(tmp_path), 0, selection, run.GROUP), "image"
            )
            path.parent.mkdir(parents=True)
            values = {metric: [0.5 + number / 10, 0.25, 0.75] for metric in run.SHOWN}
            table = pd.DataFrame({"Metrics": run.ROWS, **values})
            table.to_csv(path, sep="\t", index=False)
    found = run.results(tmp_path)
    assert found["mode"].tolist() == ["image"] * 2 + ["roi"] * 2 + ["patch"] * 2
    assert found["chosen by"].tolist() == ["loss", "BA"] * 3
    assert found["BA"].tolist()[::2] == [f"0.{n}00 [0.25, 0.75]" for n in (5, 6, 7)]


def test_every_clinicadl_step_is_a_command_line_that_the_program_accepts(scripts):
    from click.testing import CliRunner

    from clinicadl.cli.main import root

    for step in scripts["run"].steps(Path("absent")):
        if step[0] == "clinicadl":
            said = CliRunner().invoke(root, step[1:])
            # Exit code 2 would be an option that does not exist; here only the input is missing.
            assert said.exit_code != 2, said.output
            assert getattr(said.exception, "exit_code", None) == 66, said.exception


def _write_maps(maps, caps):
    """Write what the picture reads: participant 0 is right, all others are said to be CN."""
    labels = _table(caps / "labels.tsv").drop_duplicates("participant_id")
    truth = (labels["diagnosis"] == "CN").astype(int).to_numpy()
    said = np.ones_like(truth)
    predictions = pd.DataFrame(
        {
            "participant_id": labels["participant_id"],
            "session_id": labels["session_id"],
            "image_id": 0,
            "true_label": truth,
            "predicted_label": said,
            "proba0": 0.25,
            "proba1": 0.75,
        }
    )
    folder = names.results(maps, 0, "loss", "test")
    folder.mkdir(parents=True)
    predictions.to_csv(names.predictions(folder, "image"), sep="\t", index=False)
    metrics = pd.DataFrame(
        {
            "Metrics": ["Values", "Lower bound CI", "Upper bound CI", "SE"],
            "BA": [0.5, 0.25, 0.75, 0.1],
            "loss": [0.7, "N/A", "N/A", "N/A"],
        }
    )
    metrics.to_csv(names.metrics(folder, "image"), sep="\t", index=False)
    log = pd.DataFrame(
        {
            "epoch": [0, 0, 1, 2, 3],
            "iteration": [1, 2, 2, 2, 2],
            "BA_train": 0.5,
            "loss_train": 0.7,
            "BA_valid": 0.5,
            "loss_valid": [0.1, 0.8, 0.6, 0.5, 0.5],
        }
    )
    names.training_log(maps, 0).parent.mkdir(parents=True)
    log.to_csv(names.training_log(maps, 0), sep="\t", index=False)


def test_the_best_epoch_is_the_first_with_the_least_validation_loss_at_its_end(
    scripts, made, tmp_path
):
    _write_maps(tmp_path, made)
    curves = scripts["picture"].read_curves(tmp_path, 0)
    assert curves["epoch"].tolist() == [0, 1, 2, 3]
    # Inside epoch 0 the loss was 0.1, but only the end of an epoch chooses.
    assert scripts["picture"].best_epoch(curves) == 2


def test_predictions_get_the_names_of_the_classes(scripts, made, tmp_path):
    _write_maps(tmp_path, made)
    found = scripts["picture"].read_predictions(made, tmp_path, 0, "test")
    assert set(found["label"]) == {"AD", "CN"}
    assert set(found["says"]) == {"CN"}
    expected = np.where(found["label"] == "CN", 0.75, 0.25)
    np.testing.assert_array_equal(found["sureness"], expected)
    np.testing.assert_array_equal(found["certainty"], 0.75)


def test_the_brains_go_from_the_best_recognised_to_the_least(scripts):
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{i}" for i in range(9)],
            "session_id": "ses-M000",
            "label": ["AD"] * 7 + ["CN"] * 2,
            "sureness": [0.1, 0.9, 0.5, 0.3, 0.8, 0.7, 0.6, 0.2, 0.4],
        }
    )
    brains = scripts["picture"].chosen(table, 3)
    assert brains["sureness"].tolist() == [0.9, 0.6, 0.1, 0.4, 0.2]


def test_the_picture_is_a_png_with_the_same_bytes_each_time(scripts, made, tmp_path):
    maps = tmp_path / "maps"
    _write_maps(maps, made)
    outputs = [tmp_path / f"{name}.png" for name in ("first", "second")]
    for output in outputs:
        subprocess.run(
            [sys.executable, DEMO / "picture.py", made, maps, output],
            check=True,
            capture_output=True,
        )
    first, second = (output.read_bytes() for output in outputs)
    assert first.startswith(b"\x89PNG")
    assert first == second
