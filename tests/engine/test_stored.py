"""Tensors of several cohorts and of several channels become one data set."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from clinicadl import PrepareConfig, prepare_data
from clinicadl.data import tensors
from clinicadl.engine.plan import agreed_extraction
from clinicadl.engine.stored import prepared as stored_of
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError
from clinicadl.layouts import caps, images
from clinicadl.tables.cohorts import Member
from clinicadl.transforms.intensity import without_nan

KEYS = [("sub-A1", "ses-M000"), ("sub-A2", "ses-M000")]
SHAPE = (4, 5, 6)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
PATCH = {"name": "patch", "patch_size": 2, "stride_size": 2}


def lay(folder, keys, *, seed=0, shape=SHAPE, affine=AFFINE, suffix="T1w", name=None, mode="image"):
    """Return a CAPS with one tensor a session, and its extraction."""
    draw = np.random.default_rng(seed)
    for participant, session in keys:
        path = folder / "subjects" / participant / session / "custom"
        voxels = draw.random(shape, dtype=np.float32)
        images.write(path / f"{participant}_{session}_{suffix}.nii.gz", voxels, affine=affine)
    prepare_data(
        PrepareConfig(
            caps_directory=folder,
            preprocessing={"name": "custom", "custom_suffix": f"{suffix}.nii.gz"},
            extract_json=name or suffix,
            mode=mode,
            participant_label=[participant for participant, _ in keys],
            n_proc=1,
        )
    )
    return folder


def table(*cohorts):
    rows = [(*key, name) for name, keys in cohorts for key in keys]
    return pd.DataFrame(rows, columns=["participant_id", "session_id", "cohort"])


def read(path, name="T1w"):
    return caps.read_extraction(path, name)


def voxels_of(folder, key, suffix="T1w"):
    return images.read(
        folder / "subjects" / key[0] / key[1] / "custom" / f"{key[0]}_{key[1]}_{suffix}.nii.gz"
    ).voxels


def test_cohorts_give_their_own_images_in_the_order_of_the_table(tmp_path):
    others = [("sub-B1", "ses-M000")]
    lyon, graz = lay(tmp_path / "lyon", KEYS), lay(tmp_path / "graz", others, seed=1)
    rows = table(("Graz", others), ("Lyon", KEYS))
    stored = stored_of({"Lyon": lyon, "Graz": graz}, [read(lyon)], rows)
    data = stored.dataset(rows, [0, 1, 2], without_nan)
    expected = [(graz, others[0]), (lyon, KEYS[0]), (lyon, KEYS[1])]
    for index, (folder, key) in enumerate(expected):
        assert np.array_equal(data[index].image[0].numpy(), voxels_of(folder, key))
        assert data[index].target == index


def test_one_session_in_two_cohorts_is_refused(tmp_path):
    lyon, graz = lay(tmp_path / "lyon", KEYS), lay(tmp_path / "graz", KEYS[:1], seed=1)
    rows = table(("Lyon", KEYS), ("Graz", KEYS[:1]))
    with pytest.raises(InvalidDataError, match="sub-A1 | ses-M000 of Lyon and Graz"):
        stored_of({"Lyon": lyon, "Graz": graz}, [read(lyon)], rows)


@pytest.mark.parametrize(
    ("moved", "words"),
    [
        ({"shape": (4, 5, 7)}, "several shapes"),
        ({"affine": np.diag([2.0, 2.0, 3.0, 1.0])}, "Graz lie on another grid than those of Lyon"),
        ({"affine": AFFINE + np.eye(4, k=3) * 5}, "Graz lie on another grid than those of Lyon"),
    ],
)
def test_cohorts_on_other_grids_are_refused(tmp_path, moved, words):
    others = [("sub-B1", "ses-M000")]
    lyon, graz = lay(tmp_path / "lyon", KEYS), lay(tmp_path / "graz", others, **moved)
    rows = table(("Lyon", KEYS), ("Graz", others))
    with pytest.raises(InvalidDataError, match=words):
        stored_of({"Lyon": lyon, "Graz": graz}, [read(lyon)], rows)


def test_images_in_native_space_need_the_voxel_size_alone(tmp_path):
    """Each head lies elsewhere in its scanner; that tells no cohort from another."""
    lyon = lay(tmp_path / "lyon", KEYS[:1])
    lay(lyon, KEYS[1:], affine=AFFINE + np.eye(4, k=3) * 5)
    others = [("sub-B1", "ses-M000")]
    graz = lay(tmp_path / "graz", others, affine=AFFINE + np.eye(4, k=3) * 9)
    rows = table(("Lyon", KEYS), ("Graz", others))
    stored = stored_of({"Lyon": lyon, "Graz": graz}, [read(lyon)], rows)
    assert len(stored.origins) == 3
    np.testing.assert_array_equal(stored.affine(others[0], 0), AFFINE + np.eye(4, k=3) * 9)
    other = lay(tmp_path / "oslo", [("sub-C1", "ses-M000")], affine=np.diag([2.0, 2.0, 2.1, 1.0]))
    rows = table(("Lyon", KEYS), ("Oslo", [("sub-C1", "ses-M000")]))
    with pytest.raises(InvalidDataError, match="Oslo lie on another grid"):
        stored_of({"Lyon": lyon, "Oslo": other}, [read(lyon)], rows)


def test_the_extraction_may_be_in_any_caps_and_all_must_agree(tmp_path):
    lyon, graz = lay(tmp_path / "lyon", KEYS), lay(tmp_path / "graz", KEYS, mode=PATCH)
    cohorts = [Member(one.name, one, one, None) for one in (lyon, graz)]
    with pytest.raises(InvalidDataError, match="The extractions of lyon and graz do not agree"):
        agreed_extraction(cohorts, "T1w")
    shutil.rmtree(lyon / "tensor_extraction")
    assert agreed_extraction(cohorts, "T1w").path == graz / "tensor_extraction/T1w.json"
    with pytest.raises(MissingInputError, match="FLAIR"):
        agreed_extraction(cohorts, "FLAIR")
    content = json.loads((graz / "tensor_extraction/T1w.json").read_text())
    (lyon / "tensor_extraction").mkdir()
    (lyon / "tensor_extraction/T1w.json").write_text(
        json.dumps({**content, "file_type": {"pattern": "x"}})
    )
    assert agreed_extraction(cohorts, "T1w").path.parent.parent == lyon


@pytest.mark.parametrize("mode", ["image", PATCH], ids=["image", "patch"])
def test_two_modalities_are_two_channels(tmp_path, mode):
    folder = lay(tmp_path / "caps", KEYS, mode=mode)
    lay(folder, KEYS, seed=5, suffix="flair", mode=mode)
    rows = table(("single", KEYS))
    both = stored_of({"single": folder}, [read(folder), read(folder, "flair")], rows)
    size = (2, 2, 2) if mode == PATCH else SHAPE
    assert both.shape == (2, *size)
    data = both.dataset(rows, [0, 1], without_nan)
    assert len(data) == 2 * len(both.parts)
    for index in range(len(data)):
        image, part = divmod(index, len(both.parts))
        x, y, z = both.parts.windows[part].start
        box = (slice(x, x + size[0]), slice(y, y + size[1]), slice(z, z + size[2]))
        for channel, suffix in enumerate(("T1w", "flair")):
            expected = voxels_of(folder, KEYS[image], suffix)[box]
            assert np.array_equal(data[index].image[channel].numpy(), expected)


def test_channels_that_do_not_lie_on_each_other_are_refused(tmp_path):
    folder = lay(tmp_path / "caps", KEYS)
    lay(folder, KEYS, suffix="flair", affine=AFFINE + np.eye(4, k=3))
    lay(folder, KEYS[:1], suffix="pet")
    lay(folder, KEYS, suffix="dwi", mode=PATCH)
    rows = table(("single", KEYS))

    def of(name):
        return stored_of({"single": folder}, [read(folder), read(folder, name)], rows)

    with pytest.raises(InvalidDataError, match="The channels of 2 sessions lie on several grids"):
        of("flair")
    with pytest.raises(MissingInputError, match=r"1 of 2 sessions have no tensor.*sub-A2"):
        of("pet")
    with pytest.raises(UsageError, match="have several modes"):
        of("dwi")


def test_every_sample_is_traced_to_its_place_in_the_world(tmp_path):
    """A part saved as an image lies where it was in the head."""
    folder = lay(tmp_path / "caps", KEYS, mode=PATCH, affine=AFFINE + np.eye(4, k=3) * 7)
    rows = table(("single", KEYS))
    stored = stored_of({"single": folder}, [read(folder)], rows)
    data, samples = stored.dataset(rows, [0, 1], without_nan), stored.samples(rows)
    assert len(samples) == len(data)
    for index, sample in samples.iterrows():
        key = sample["participant_id"], sample["session_id"]
        path = tmp_path / "part.nii.gz"
        affine = stored.affine(key, sample["patch_id"])
        images.write(path, data[index].image[0].numpy(), affine=affine)
        part = images.read(path)
        whole = voxels_of(folder, key)
        for voxel in np.ndindex(part.voxels.shape):
            place = part.affine @ [*voxel, 1]
            i, j, k = np.linalg.solve(AFFINE + np.eye(4, k=3) * 7, place)[:3].round().astype(int)
            assert part.voxels[voxel] == whole[i, j, k]
    assert tensors.read(stored.channels[0].files[KEYS[0]][0]).shape == (1, *SHAPE)
