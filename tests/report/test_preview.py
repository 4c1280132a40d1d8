"""The preview: parts lie where they are cut, the page is the right way round, bits repeat."""

import builtins
import logging
import shutil
from importlib import util

import nibabel as nib
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.image import imread

from clinicadl import PrepareConfig, prepare_data
from clinicadl.config.preview import PreviewConfig
from clinicadl.config.read import settings
from clinicadl.data.parts import of
from clinicadl.errors import (
    InvalidDataError,
    MissingExtraError,
    MissingInputError,
    OutputError,
    UsageError,
)
from clinicadl.layouts import caps as caps_layout
from clinicadl.layouts import images
from clinicadl.report.planes import planes_of
from clinicadl.report.preview import PART_COLOUR, SHOWN_COLOUR, figure, plan, preview

SUFFIX = "desc-Tiny_T1w.nii.gz"
GRID = (18, 20, 17)
OBLIQUE_GRID = np.array([[0, 0, -3.0, 30], [2, 0, 0, -20], [0, -5, 0, 40], [0, 0, 0, 1]])
"""Axes to the front, down and to the left."""
NOISE = {"augmentation": ({"name": "Noise", "std": 0.3}, {"name": "Gamma"})}


def config(caps, **given) -> PreviewConfig:
    base = {"caps_directory": caps, "preprocessing_json": "tiny", "n_samples": 2}
    return settings(PreviewConfig, {**base, "output_png": caps / "preview.png", **given})


def extracted(caps, mode, **given):
    prepare_data(
        PrepareConfig(
            caps_directory=caps, preprocessing={"name": "custom", "custom_suffix": SUFFIX},
            mode=mode, extract_json=mode["name"], n_proc=1, **given,
        )
    )  # fmt: skip
    return {"preprocessing_json": mode["name"]}


def with_masks(caps, affine=None):
    """Write two regions, of which the second is a diagonal in its box."""
    some = next(iter(sorted(caps.glob("subjects/*/*/custom/*.nii.gz"))))
    affine = nib.load(some).affine if affine is None else affine
    left, right = np.zeros(GRID, np.uint8), np.zeros(GRID, np.uint8)
    left[3:6, 4:9, 5:9] = 1
    left[4, 6, 5] = 0
    right[11:15, 4:8, 6] = np.eye(4)
    for name, voxels in (("left", left), ("right", right)):
        path = caps / "masks" / "tpl-Tiny" / f"tpl-Tiny_roi-{name}_mask.nii.gz"
        images.write(path, voxels, affine=affine)
    return {"name": "roi", "roi_list": ("left", "right"), "roi_custom_template": "Tiny"}


def reoriented(caps, affine):
    """Give every image another affine, and make its tensor again."""
    for path in caps.glob("subjects/*/*/custom/*.nii.gz"):
        images.write(path, images.read(path).voxels, affine=affine)
    extracted(caps, {"name": "image"})


def panels(page):
    return {ax.get_label(): ax for ax in page.axes}


def rectangles(ax, colour=None):
    from matplotlib.colors import to_hex

    return {
        (one.get_x() + 0.5, one.get_y() + 0.5, one.get_width(), one.get_height())
        for one in ax.patches
        if colour is None or to_hex(one.get_edgecolor()) == colour.lower()
    }


def expected(windows, plane):
    return {
        (w.start[plane.along], w.start[plane.up], w.size[plane.along], w.size[plane.up])
        for w in windows
    }


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("affine", [None, OBLIQUE_GRID], ids=["as it is", "turned"])
def test_the_rectangles_are_the_windows_of_the_patches(prepared, affine, pad):
    if affine is not None:
        reoriented(prepared, affine)
    mode = {"name": "patch", "patch_size": 7, "stride_size": 5, "pad": pad}
    planned = plan(config(prepared, **extracted(prepared, mode)))
    parts = planned.stored.parts
    axes = panels(figure(planned))
    for row in range(2):
        words = axes[f"{row} as the network gets it"].get_xlabel()
        window = parts.windows[int(words.partition(":")[0].removeprefix("patch "))]
        for plane in planes_of(planned.affine(planned.keys[row])):
            ax = axes[f"{row} {plane.name}"]
            assert rectangles(ax, SHOWN_COLOUR) == expected([window], plane)
            # Every patch of a full grid lies behind one that is met.
            assert rectangles(ax, PART_COLOUR) == expected(parts.windows, plane)
            furthest = max(w.stop[plane.along] for w in parts.windows)
            assert max(ax.get_xlim()) == max(furthest, GRID[plane.along]) - 0.5


def test_regions_have_their_boxes_contours_and_names(prepared):
    mode = with_masks(prepared)
    planned = plan(config(prepared, **extracted(prepared, mode)))
    left, right = planned.stored.parts.windows
    page = figure(planned)
    axes = panels(page)
    sagittal, coronal, axial = planes_of(planned.affine(planned.keys[0]))
    # The first row shows the left region, the second the right one.
    assert rectangles(axes["0 sagittal"]) == expected([left], sagittal)
    assert rectangles(axes["1 sagittal"]) == expected([right], sagittal)
    assert rectangles(axes["1 coronal"]) == expected([left, right], coronal)
    assert rectangles(axes["1 axial"]) == expected([left, right], axial)
    contours = [one for one in axes["1 axial"].collections if isinstance(one, LineCollection)]
    # A box of 3 x 5 voxels has 16 edges (its lowest plane, with a hole, 20), as have four voxels
    # on a diagonal.
    assert [len(one.get_segments()) for one in contours] == [16, 16]
    ends = np.concatenate(contours[1].get_segments())
    assert ends.min(axis=0).tolist() == [10.5, 3.5]
    assert ends.max(axis=0).tolist() == [14.5, 7.5]
    (legend,) = page.legends
    assert [text.get_text() for text in legend.get_texts()] == ["left", "right"]
    assert axes["1 as the network gets it"].get_xlabel().startswith("right: 1 x 4 x 4 x 1\n")
    assert "1 x 3 x 5 x 4 or 1 x 4 x 4 x 1 (a network takes one shape)" in page.get_suptitle()


@pytest.mark.parametrize("direction", [0, 1, 2])
def test_slices_are_lines_where_they_lie(prepared, direction):
    mode = {"name": "slice", "slice_direction": direction, "discarded_slices": (2, 1)}
    planned = plan(config(prepared, **extracted(prepared, mode)))
    numbers = planned.stored.parts.numbers
    step = int(np.ceil(len(numbers) / 12))
    page = figure(planned)
    assert f"one line in {step} slices" in page.get_suptitle()
    for plane in planes_of(planned.affine(planned.keys[0])):
        ax = panels(page)[f"0 {plane.name}"]
        if plane.across == direction:
            assert not ax.lines
            continue
        along = plane.along == direction
        drawn = [(line.get_xdata() if along else line.get_ydata())[0] for line in ax.lines]
        shown = drawn[-1]
        assert sorted({*drawn}) == sorted({*numbers[::step], numbers[-1], shown})
        words = panels(page)["0 as the network gets it"].get_xlabel()
        assert words.startswith(f"slice {shown}: 3 x ")


def test_an_image_has_no_outline(prepared):
    page = figure(plan(config(prepared)))
    assert not any(ax.patches or ax.lines or ax.collections for ax in page.axes)
    assert not page.legends


@pytest.mark.parametrize("affine", [None, OBLIQUE_GRID], ids=["as it is", "turned"])
def test_the_corner_to_the_right_front_and_top_lies_where_its_marks_say(prepared, affine):
    affine = images.read(next(prepared.rglob("*_T1w.nii.gz"))).affine if affine is None else affine
    # The voxel of the grid that lies furthest to the right, to the front and up.
    codes = nib.aff2axcodes(affine)
    corner = [n - 1 if code in "RAS" else 0 for n, code in zip(GRID, codes, strict=True)]
    reoriented(prepared, affine)
    page = figure(plan(config(prepared, n_samples=1)))
    page.canvas.draw()
    for plane in planes_of(affine):
        ax = panels(page)[f"0 {plane.name}"]
        spot = ax.transAxes.inverted().transform(
            ax.transData.transform((corner[plane.along], corner[plane.up]))
        )
        marks = {text.get_text(): text.get_position() for text in ax.texts}
        sides = {mark for mark in marks if mark in "RAS"}
        assert len(marks) == 4
        assert len(sides) == 2
        for mark in sides:
            axis = int(marks[mark][1] != 0.5)
            assert (spot[axis] > 0.5) == (marks[mark][axis] > 0.5), (plane.name, mark)


@pytest.mark.parametrize("affine", [None, OBLIQUE_GRID], ids=["as it is", "turned"])
def test_a_panel_shows_the_voxels_and_the_proportions_of_the_image(prepared, affine):
    if affine is not None:
        reoriented(prepared, affine)
    planned = plan(config(prepared))
    sizes = nib.affines.voxel_sizes(planned.affine(planned.keys[1]))
    volume = images.read(prepared / planned.stored.origins[planned.keys[1]].source).voxels
    axes = panels(figure(planned))
    for plane in planes_of(planned.affine(planned.keys[1])):
        ax = axes[f"1 {plane.name}"]
        (picture,) = ax.images
        shown = np.asarray(picture.get_array()).T
        candidates = np.moveaxis(volume, (plane.across, plane.along, plane.up), (0, 1, 2))
        assert any(np.array_equal(shown, one) for one in candidates)
        assert ax.get_aspect() == pytest.approx(sizes[plane.up] / sizes[plane.along])


def test_a_part_is_what_the_network_gets(prepared):
    mode = {"name": "patch", "patch_size": 8, "stride_size": 8}
    given = extracted(prepared, mode) | {"transforms": {"normalization": "z-score"}}
    planned = plan(config(prepared, **given))
    ax = panels(figure(planned))["0 as the network gets it"]
    part = int(ax.get_xlabel().partition(":")[0].removeprefix("patch "))
    (x, y, z), _ = of(planned.mode, (1, *GRID)).windows[part]
    volume = images.read(prepared / planned.stored.origins[planned.keys[0]].source).voxels
    patch = volume[x : x + 8, y : y + 8, z : z + 8]
    expected = (patch - patch.mean(dtype=float)) / patch.std(dtype=float)
    shown = np.asarray(ax.images[0].get_array()).T
    assert any(np.allclose(shown, expected[:, index], atol=1e-5) for index in range(8))
    assert f"{expected.min():.3g} to {expected.max():.3g}" in ax.get_xlabel()


def test_the_augmented_part_is_that_of_training(prepared):
    """The draws are keyed by the row of the table that training reads."""
    table = prepared / "some.tsv"
    keys = [("sub-T005", "ses-M000"), ("sub-T002", "ses-M000"), ("sub-T009", "ses-M000")]
    rows = ["participant_id\tsession_id", *("\t".join(key) for key in keys)]
    table.write_text("\n".join(rows) + "\n")
    mode = extracted(prepared, {"name": "patch", "patch_size": 8, "stride_size": 8})
    given = config(prepared, participants_tsv=table, epoch=3, transforms=NOISE, **mode)
    planned = plan(given)
    assert planned.keys == (keys[1], keys[2])
    assert planned.rows == (1, 2)
    page = panels(figure(planned))

    import pandas as pd

    from clinicadl.engine.stored import prepared as stored
    from clinicadl.transforms.pipeline import augmentation, pipeline

    everyone = pd.DataFrame(keys, columns=["participant_id", "session_id"]).assign(cohort="A")
    data = stored({"A": prepared}, [planned.extraction], everyone).dataset(
        everyone, [0, 0, 0], pipeline(given.transforms),
        augment=augmentation(given.transforms, seed=0),
    )  # fmt: skip
    for row, (plain, augmented) in enumerate(
        (page[f"{row} as the network gets it"], page[f"{row} augmented"]) for row in range(2)
    ):
        part = int(plain.get_xlabel().partition(":")[0].removeprefix("patch "))
        index = planned.rows[row] * len(planned.stored.parts) + part
        sample = data[index, 3].image[0].numpy()
        shown = np.asarray(augmented.images[0].get_array()).T
        assert any(np.array_equal(shown, sample[:, one]) for one in range(8))
        assert not np.array_equal(shown, np.asarray(plain.images[0].get_array()).T)
        assert "noise: std " in augmented.get_xlabel()
        assert "gamma: power " in augmented.get_xlabel()
        assert augmented.images[0].get_clim() == plain.images[0].get_clim()


def test_without_augmentation_there_is_no_panel_for_it(prepared):
    assert len(figure(plan(config(prepared))).axes) == 2 * 4
    assert len(figure(plan(config(prepared, transforms=NOISE))).axes) == 2 * 5


def test_a_change_that_was_not_drawn_is_said(prepared):
    never = {"augmentation": ({"name": "Noise", "p": 0.0},)}
    axes = panels(figure(plan(config(prepared, transforms=never))))
    assert axes["0 augmented"].get_xlabel().startswith("not changed in this epoch")


def test_the_same_seed_is_the_same_bytes(prepared):
    one, two, three, four = (prepared / f"{name}.png" for name in "abcd")
    for path, seed, epoch in ((one, 1, 0), (two, 1, 0), (three, 2, 0), (four, 1, 1)):
        preview(config(prepared, output_png=path, transforms=NOISE, epoch=epoch,
                       reproducibility={"seed": seed}))  # fmt: skip
    assert one.read_bytes() == two.read_bytes()
    assert b"Software" not in one.read_bytes()
    assert not np.array_equal(imread(one)[200:], imread(three)[200:])
    assert not np.array_equal(imread(one)[200:], imread(four)[200:])


def test_nothing_of_matplotlib_that_all_share_changes(prepared):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    backend = mpl.get_backend(auto_select=False)
    preview(config(prepared))
    assert dict(mpl.rcParams) == before
    assert mpl.get_backend(auto_select=False) == backend


def test_the_sessions_are_taken_evenly(prepared):
    keys = caps_layout.sessions(prepared)
    assert len(keys) == 25
    assert plan(config(prepared, n_samples=5)).keys == tuple(keys[::6])
    assert plan(config(prepared, n_samples=1)).keys == (keys[0],)
    assert plan(config(prepared, n_samples=50)).keys == tuple(keys)


def test_the_order_of_a_table_does_not_choose_the_sessions(prepared):
    header, *lines = (prepared / "labels.tsv").read_text().splitlines()
    shuffled = [lines[index] for index in np.random.default_rng(3).permutation(len(lines))]
    chosen = []
    for name, rows in (("one", lines), ("two", shuffled)):
        (prepared / name).write_text("\n".join([header, *rows]) + "\n")
        chosen.append(plan(config(prepared, participants_tsv=prepared / name)).keys)
    assert chosen[0] == chosen[1]


def test_without_a_table_the_prepared_sessions_are_meant(prepared):
    for folder in prepared.glob("subjects/sub-T00*/*/deeplearning_prepare_data"):
        shutil.rmtree(folder)
    assert {key[0] for key in plan(config(prepared, n_samples=50)).keys} == {
        f"sub-T0{number}" for number in range(10, 20)
    }


def test_stored_parts_are_shown_on_their_image(prepared):
    mode = {"name": "patch", "patch_size": 8, "stride_size": 8}
    cut = plan(config(prepared, **extracted(prepared, mode)))
    before = [np.asarray(ax.images[0].get_array()) for ax in figure(cut).axes]
    for folder in prepared.glob("subjects/*/*/deeplearning_prepare_data"):
        shutil.rmtree(folder)
    (prepared / "tensor_extraction" / "patch.json").unlink()
    stored = plan(config(prepared, **extracted(prepared, mode, save_features=True)))
    assert stored.stored.channels[0].are_cut
    assert not cut.stored.channels[0].are_cut
    # The images of the CAPS are read instead of tensors, and the same is seen.
    assert [path.suffix for path in stored.reads] == [".gz", ".gz"]
    after = [np.asarray(ax.images[0].get_array()) for ax in figure(stored).axes]
    assert len(after) == 8
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    stored.reads[0].unlink()
    with pytest.raises(MissingInputError, match="image whose parts were stored"):
        plan(config(prepared, preprocessing_json="patch"))


def test_the_title_says_what_is_shown(prepared):
    mode = {"name": "patch", "patch_size": 8, "stride_size": 8}
    given = {**NOISE, "normalize": False}
    title = figure(
        plan(config(prepared, transforms=given, **extracted(prepared, mode)))
    ).get_suptitle()
    for words in (
        "caps, custom: patch, patch_size 8, stride_size 8", "8 parts an image",
        "a sample is 1 x 8 x 8 x 8", "8 x 8 x 8 mm", "normalisation: none", "Noise, Gamma",
    ):  # fmt: skip
        assert words in title.replace("\n", " ")


def test_an_existing_picture_stays_unless_one_says_so(prepared):
    path = preview(config(prepared))
    path.write_bytes(b"old")
    with pytest.raises(OutputError) as raised:
        preview(config(prepared))
    assert raised.value.exit_code == 73
    assert path.read_bytes() == b"old"
    preview(config(prepared, overwrite=True))
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"preprocessing_json": "other"}, MissingInputError),
        ({"participants_tsv": "nobody.tsv"}, MissingInputError),
        ({"transforms": {"size_reduction": True}}, UsageError),
        ({"transforms": {"augmentation": ({"name": "RandomSwap", "patch_size": 99},)}}, UsageError),
        ({"output_png": "labels.tsv/preview.png"}, OutputError),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(prepared, wrong, error):
    before = sorted(prepared.rglob("*"))
    wrong = {
        key: prepared / value if key in ("output_png", "participants_tsv") else value
        for key, value in wrong.items()
    }
    with pytest.raises(error):
        preview(config(prepared, **wrong))
    assert sorted(prepared.rglob("*")) == before


def test_a_caps_without_tensors_says_so(prepared):
    for folder in prepared.glob("subjects/*/*/deeplearning_prepare_data"):
        shutil.rmtree(folder)
    with pytest.raises(MissingInputError, match="Run prepare-data first"):
        plan(config(prepared))


def test_a_tensor_that_does_not_belong_to_its_image_is_refused(prepared):
    some = caps_layout.sessions(prepared)[0]
    path = next(prepared.glob(f"subjects/{some[0]}/{some[1]}/custom/*.nii.gz"))
    images.write(path, images.read(path).voxels * 2, affine=images.read(path).affine)
    with pytest.raises(InvalidDataError, match=some[0]):
        plan(config(prepared))


def test_settings_without_an_effect_are_refused(tmp_path):
    with pytest.raises(UsageError, match="epoch means nothing"):
        config(tmp_path, epoch=1)
    with pytest.raises(UsageError, match="ends in .png"):
        config(tmp_path, output_png=tmp_path / "preview.pdf")


def test_without_matplotlib_the_extra_is_named(prepared, monkeypatch):
    found = util.find_spec
    monkeypatch.setattr(
        "clinicadl.report.preview.find_spec",
        lambda name: None if name == "matplotlib" else found(name),
    )
    with pytest.raises(MissingExtraError, match=r"clinicadl\[report\]"):
        preview(config(prepared))


def test_the_module_does_not_need_matplotlib(monkeypatch):
    import importlib
    import sys

    imported = builtins.__import__

    def without(name, *args, **kwargs):
        assert not name.startswith("matplotlib"), name
        return imported(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "clinicadl.report.preview")
    monkeypatch.setattr(builtins, "__import__", without)
    importlib.import_module("clinicadl.report.preview")


@pytest.mark.data
def test_left_is_left_in_real_images(real_data, tmp_path):
    """The region that is called left lies on the side of the page that is marked L."""
    source = real_data / "ixi-caps-4mm"
    first = min((source / "subjects").iterdir())
    shutil.copytree(first, tmp_path / "subjects" / first.name)
    shutil.copytree(source / "masks", tmp_path / "masks")
    logging.getLogger("clinicadl").setLevel(logging.ERROR)
    prepare_data(
        PrepareConfig(
            caps_directory=tmp_path, extract_json="tiny", n_proc=1,
            preprocessing={"name": "custom", "custom_suffix": "desc-Brain_res-4x4x4_T1w.nii.gz"},
            mode={"name": "roi", "roi_list": ("hippocampusLeft", "hippocampusRight"),
                  "roi_custom_template": "MNI152"},
        )
    )  # fmt: skip
    page = figure(plan(config(tmp_path)))
    page.canvas.draw()
    ax = panels(page)["0 coronal"]
    left, right = (
        ax.transAxes.inverted().transform(ax.transData.transform((box.get_x(), box.get_y())))[0]
        for box in ax.patches
    )
    marks = {text.get_text(): text.get_position()[0] for text in ax.texts}
    assert (left > right) == (marks["L"] > marks["R"])
