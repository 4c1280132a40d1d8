"""What the images of each preprocessing and modality are called, and their tensors."""

from __future__ import annotations

import fnmatch
import re
from functools import cache
from pathlib import Path

from clinicadl.config.base import Choice
from clinicadl.config.preprocessing import Custom, DwiDti, Linear, PetLinear
from clinicadl.config.raw import Raw, RawCustom, RawPet
from clinicadl.errors import UsageError
from clinicadl.layouts import grids
from clinicadl.layouts.images import SUFFIXES, stem

_SUFFIX = {"t1-linear": "T1w", "flair-linear": "flair", "t2-linear": "T2w"}
SPACE, RESOLUTION = "space-MNI152NLin2009cSym", "res-1x1x1"
"""Entities of the grid that linear preprocessings put images on."""
_FOLDER = {"t1-volume": "t1/spm/segmentation/normalized_space"}
_DTI_FOLDER = "dwi/dti_based_processing"
_NAME = {
    "t1-volume": "*_T1w_segm-graymatter_space-Ixi549Space_modulated-off_probability.nii*",
    "t1-extensive": "*_space-Ixi549Space_desc-skullstripped_T1w.nii*",
}
_NORMALIZED = "_space-MNI"
"""What the names of images in MNI space hold; names of some releases hold the native space too."""


def pattern(preprocessing: Choice) -> str:
    """Return the glob, relative to a session's folder, of the images of a preprocessing.

    Raises
    ------
    UsageError
        The row comes from another package and says no file name.

    Examples
    --------
    >>> pattern(DwiDti())
    'dwi/dti_based_processing/native_space/*_space-*_FA.nii*'
    >>> pattern(RawPet(tracer="18FFDG"))
    'pet/*_trc-18FFDG*_pet.nii*'
    """
    if isinstance(preprocessing, Custom | RawCustom):
        suffix = preprocessing.custom_suffix
        return suffix if suffix.startswith("*") else f"*{suffix}"
    if isinstance(preprocessing, Raw):
        entities = "".join(f"_{key}-{value}*" for key, value in entities_of(preprocessing).items())
        where = f"{preprocessing.datatype}/" if preprocessing.datatype else ""
        return f"{where}*{entities}_{preprocessing.suffix}.nii*"
    if isinstance(preprocessing, DwiDti):
        space = _NORMALIZED if preprocessing.dti_space == "normalized" else "_space-"
        return f"{folder(preprocessing)}/*{space}*_{preprocessing.dti_measure}.nii*"
    if preprocessing.name in _NAME:
        return f"{folder(preprocessing)}/{_NAME[preprocessing.name]}"
    if not isinstance(preprocessing, Linear):
        raise UsageError(
            "Images of this preprocessing have no known name", found=preprocessing.name
        )
    before = "*_" if isinstance(preprocessing, PetLinear) else "*"
    return f"{folder(preprocessing)}/{before}{linear_stem(preprocessing)}.nii*"


def linear_stem(preprocessing: Linear) -> str:
    """Return how the names of images end that were registered to MNI, without their extension.

    Examples
    --------
    >>> linear_stem(Linear(name="t1-linear"))
    'space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w'
    """
    crop = "" if preprocessing.use_uncropped_image else "_desc-Crop"
    space = f"{SPACE}{crop}_{RESOLUTION}"
    if isinstance(preprocessing, PetLinear):
        region = preprocessing.suvr_reference_region
        return f"trc-{preprocessing.tracer}_{space}_suvr-{region}_pet"
    return f"{space}_{_SUFFIX[preprocessing.name]}"


def entities_of(preprocessing: Choice) -> dict[str, str]:
    """Return the entities that the names of raw images must have."""
    if not isinstance(preprocessing, RawPet):
        return {}
    wanted = {"trc": preprocessing.tracer, "rec": preprocessing.reconstruction}
    return {key: value for key, value in wanted.items() if value is not None}


def folder(preprocessing: Choice) -> str:
    """Return the folder, in a session's, where the images of a preprocessing are; nothing for any.

    Examples
    --------
    >>> folder(DwiDti())
    'dwi/dti_based_processing/native_space'
    """
    if isinstance(preprocessing, Custom):
        return ""
    if isinstance(preprocessing, DwiDti):
        return f"{_DTI_FOLDER}/{preprocessing.dti_space}_space"
    return _FOLDER.get(preprocessing.name, tensor_folder(preprocessing))


def tensor_folder(preprocessing: Choice) -> str:
    """Return the folder of the tensors of a preprocessing or modality.

    Examples
    --------
    >>> tensor_folder(DwiDti())
    'dwi_dti'
    """
    return preprocessing.name.replace("-", "_")


def paths(preprocessing: Choice) -> re.Pattern[str]:
    """Return what the paths of images in the folder of a session match, in whatever case."""
    return _matcher(preprocessing, pattern(preprocessing))


def is_named(preprocessing: Choice, name: str) -> bool:
    """Return whether a file name is that of an image of a preprocessing or modality.

    Examples
    --------
    >>> name = "sub-1_ses-M000_space-T1w_FA.nii.gz"
    >>> is_named(DwiDti(), name), is_named(DwiDti(dti_space="normalized"), name)
    (True, False)
    """
    glob = pattern(preprocessing).rpartition("/")[2]
    if isinstance(preprocessing, Raw) and preprocessing.suffix:
        glob = f"*_{preprocessing.suffix}.nii*"
    return _matcher(preprocessing, glob).match(name) is not None


@cache
def _matcher(preprocessing: Choice, glob: str) -> re.Pattern[str]:
    is_native = isinstance(preprocessing, DwiDti) and preprocessing.dti_space == "native"
    but = f"(?!.*{_NORMALIZED})" if is_native else ""
    # In any order, and whole: the tracer A is not AB.
    wanted = entities_of(preprocessing)
    having = "".join(f"(?=.*_{key}-{value}_)" for key, value in wanted.items())
    return re.compile(but + having + fnmatch.translate(glob), re.IGNORECASE)


def tensor_stem(image: Path, preprocessing: Choice) -> str:
    """Return what the names of the tensors of an image are made of: its name, and its grid."""
    return grids.stem_on(stem(image), grids.of(preprocessing))


def is_made_of(preprocessing: Choice, name: str, ending: str) -> bool:
    """Return whether a file was made of an image whose name matches, and is no leftover.

    Parameters
    ----------
    preprocessing
        Whose images are meant, on which grid.
    name
        The file.
    ending
        What stands in it for the ending of the image.
    """
    if name.startswith(".") or not name.endswith(ending):
        return False
    source = grids.stem_off(name.removesuffix(ending), grids.of(preprocessing))
    return source is not None and any(is_named(preprocessing, source + one) for one in SUFFIXES)
