"""What every preprocessing of the table does, from the images of its pipeline to training."""

import nibabel as nib
import numpy as np
import pytest
import torch

from clinicadl import PrepareConfig, prepare_data
from clinicadl.config.base import from_table
from clinicadl.config.preprocessing import PREPROCESSINGS
from clinicadl.data import belonging
from clinicadl.draws import generator
from clinicadl.errors import UsageError
from clinicadl.layouts import caps, images, masks

ROWS = from_table(PREPROCESSINGS, "clinicadl.preprocessings").all_rows()
LAW = pytest.mark.parametrize("name", ROWS)
AFFINE = np.array([[-2.0, 0, 0, 40], [0, 3, 0, -50], [0, 0, 4, -60], [0, 0, 0, 1]])
KEYS = [(f"sub-{number:02d}", f"ses-M{12 * number:03d}") for number in range(3)]


def made(folder, below):
    """Write an image of each session; return their paths."""
    found = {}
    for number, (participant, session) in enumerate(KEYS):
        path = (
            folder / "subjects" / participant / session / below.format(f"{participant}_{session}")
        )
        drawn = generator(1, "image", sample=number).integers(0, 900, (6, 7, 8)).astype(np.int16)
        images.write(path, drawn, affine=AFFINE)
        found[participant, session] = path
    return found


@LAW
@pytest.mark.parametrize("mode", ["image", "slice"])
def test_what_is_prepared_is_read_back_equal_to_the_image(tmp_path, name, mode, pipelines):
    settings, below = pipelines[name]
    paths = made(tmp_path, below)
    extraction = prepare_data(
        PrepareConfig(
            caps_directory=tmp_path, preprocessing={"name": name, **settings}, mode=mode,
            extract_json="law", n_proc=1,
        )
    )  # fmt: skip
    said = caps.read_extraction(tmp_path, extraction.name)
    assert said.preprocessing == ROWS[name](**settings)
    assert caps.mode_settings(said).name == mode
    found = belonging.verify(tmp_path, said.preprocessing, KEYS)
    for key, path in paths.items():
        (tensor,), known = found[key]
        assert tensor.parent.name == name.replace("-", "_")
        image = nib.load(path)
        expected = torch.from_numpy(image.get_fdata(dtype=np.float32))[None]
        assert torch.equal(torch.load(tensor), expected)
        np.testing.assert_array_equal(known.affine, image.affine)


TEMPLATES = {
    "t1-linear": "MNI152NLin2009cSym", "flair-linear": "MNI152NLin2009cSym",
    "t2-linear": "MNI152NLin2009cSym", "pet-linear": "MNI152NLin2009cSym",
    "t1-volume": "Ixi549Space", "t1-extensive": "Ixi549Space", "custom": "Own",
    "dwi-dti": None,
}  # fmt: skip


@LAW
def test_a_region_is_cut_by_the_mask_of_its_template(tmp_path, name, pipelines):
    settings, below = pipelines[name]
    paths = made(tmp_path, below)
    template, crop = TEMPLATES[name], "_desc-Crop_res-1x1x1" if name.endswith("-linear") else ""
    inside = np.zeros((6, 7, 8), np.uint8)
    inside[1:4, 2:6, 3:5] = 1
    home = tmp_path / "masks" / f"tpl-{template}"
    images.write(home / f"tpl-{template}{crop}_roi-box_mask.nii.gz", inside, affine=AFFINE)
    own = {"roi_custom_template": "Own"} if name == "custom" else {}
    config = PrepareConfig(
        caps_directory=tmp_path, preprocessing={"name": name, **settings}, extract_json="roi",
        mode={"name": "roi", "roi_list": ["box"], **own}, save_features=True, n_proc=1,
    )  # fmt: skip
    if template is None:
        with pytest.raises(UsageError, match="template of these images is not known"):
            prepare_data(config)
        return
    prepare_data(config)
    found = belonging.verify_parts(
        tmp_path, config.preprocessing, KEYS, mode=config.mode,
        masks=masks.read(tmp_path, config.mode, config.preprocessing),
    )  # fmt: skip
    for key, path in paths.items():
        (tensor,), _ = found[key]
        expected = nib.load(path).get_fdata(dtype=np.float32)[None, 1:4, 2:6, 3:5]
        assert torch.equal(torch.load(tensor), torch.from_numpy(np.ascontiguousarray(expected)))
