"""Reading the images of a data set, and refusing those that no registration can use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clinicadl.layouts import images
from clinicadl.layouts.images import Frame, Image
from clinicadl.preprocess.space import check_geometry


def read(path: Path) -> Image:
    """Return a volume that can be registered: finite, not below 0, axes turned towards RAS+.

    Raises
    ------
    MissingInputError
        The file is absent or closed to us.
    InvalidDataError
        It is damaged, no single volume of real numbers, empty of content, not in mm, or too small
        for a head.
    """
    image = images.read(path)
    images.check_unit(image, path)
    images.check_content(image.voxels, path)
    check_geometry(Frame(image.voxels.shape, image.affine), path)
    # What is no number, and what rings below 0 beside an edge, is as dark as air.
    voxels = np.maximum(np.nan_to_num(image.voxels, nan=0.0), 0)
    images.check_content(voxels, path)
    return images.toward_ras(image._replace(voxels=voxels))
