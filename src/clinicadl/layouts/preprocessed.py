"""Where a pipeline puts the images of a session in a CAPS, and what it says of all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

from clinicadl.config.preprocessing import Linear, PetLinear
from clinicadl.errors import ClinicaDLError
from clinicadl.layouts import caps, naming
from clinicadl.layouts.caps import StoredImage
from clinicadl.layouts.files import (
    TEMPORARY,
    below,
    read_json,
    remove_partial,
    sha256,
    turn,
    write_json,
    writing,
)
from clinicadl.layouts.images import stem

FOLDER = "preprocess"
"""Folder of a CAPS with what pipelines say of all sessions."""
_OUTPUTS = "Outputs"
"""Key of the sidecar: name of each file of the session -> its SHA-256."""


class Outputs(NamedTuple):
    """What a linear pipeline writes of a session; names are relative to ``home``."""

    home: Path
    image: str
    """On the whole grid."""
    crop: str
    transform: str
    """From the space of the template to that of the source."""
    picture: str

    @property
    def sidecar(self) -> Path:
        """What is known of the session; who has this has all, or was stopped just then."""
        return self.home / _sidecar(self.image)

    @property
    def crop_sidecar(self) -> str:
        """The sidecar of the cropped image."""
        return _sidecar(self.crop)


def _sidecar(image: str) -> str:
    return f"{stem(Path(image))}.json"


def outputs(directory: Path, image: StoredImage, preprocessing: Linear) -> Outputs:
    """Return where what is made of an image goes.

    Entities of the source, such as ``run-2``, stay in the names.

    Parameters
    ----------
    directory
        The CAPS.
    image
        The image of the data set that is registered.
    preprocessing
        What it becomes, uncropped or not.

    Raises
    ------
    InvalidDataError
        A name leads out of the CAPS.
    """
    home = below(
        directory / caps.SUBJECTS, image.participant, image.session,
        naming.tensor_folder(preprocessing),
    )  # fmt: skip
    *pairs, suffix = stem(image.path).split("_")
    said = ("sub-", "ses-", "trc-") if isinstance(preprocessing, PetLinear) else ("sub-", "ses-")
    other = [pair for pair in pairs if not pair.startswith(said)]
    who = "_".join([image.participant, image.session, *other])
    grids = [preprocessing.model_copy(update={"use_uncropped_image": one}) for one in (True, False)]
    whole, crop = (f"{who}_{naming.linear_stem(one)}" for one in grids)
    return Outputs(
        home=home,
        image=f"{whole}.nii.gz",
        crop=f"{crop}.nii.gz",
        transform=_transform(who, suffix, preprocessing),
        picture=f"{whole}.png",
    )


def _transform(who: str, suffix: str, preprocessing: Linear) -> str:
    if isinstance(preprocessing, PetLinear):
        # It is that of the tracer, whatever the region of the SUVR.
        return f"{who}_trc-{preprocessing.tracer}_{suffix}_space-T1w_rigid.mat"
    return f"{who}_{suffix}_{naming.SPACE}_{naming.RESOLUTION}_affine.mat"


def known(made: Outputs) -> dict[str, Any] | None:
    """Return the sidecar of a session whose files are all there; nothing for any other.

    Raises
    ------
    InvalidDataError
        The sidecar is no JSON object.
    """
    if not made.sidecar.is_file():
        return None
    content = read_json(made.sidecar, "sidecar")
    names = content.get(_OUTPUTS)
    if not isinstance(names, dict) or not names:
        return None
    return content if all((made.home / name).is_file() for name in names) else None


def is_foreign(made: Outputs) -> bool:
    """Return whether there is an image that we have not made."""
    is_ours = made.sidecar.is_file() and _OUTPUTS in read_json(made.sidecar, "sidecar")
    return not is_ours and any((made.home / name).exists() for name in (made.image, made.crop))


@contextmanager
def filling(made: Outputs, content: Mapping[str, Any]) -> Iterator[Path]:
    """Give a folder to put the files of a session in; they come to their places together.

    The sidecar comes first and names all others: a session whose sidecar is there and a file is
    not was stopped in between, and is made again.

    Parameters
    ----------
    made
        Where the files go, under the names that they have in the folder.
    content
        What the sidecar says besides their hashes.

    Raises
    ------
    OutputError
        The place cannot be written.
    """
    with turn(made.home), writing(made.home):
        # Nobody else writes here now, so what is half-written is of somebody who was killed.
        remove_partial(made.home, is_deep=False)
        staging = Path(mkdtemp(prefix=TEMPORARY, dir=made.home))
        try:
            yield staging
            names = sorted(entry.name for entry in os.scandir(staging))
            hashes = {name: sha256(staging / name) for name in names}
            write_json(staging / made.sidecar.name, {**content, _OUTPUTS: hashes})
            for name in {made.sidecar.name, *names, *_former(made)}:
                (made.home / name).unlink(missing_ok=True)
            for name in (made.sidecar.name, *names):
                (staging / name).replace(made.home / name)
        finally:
            remove_partial(made.home, is_deep=False)


def _former(made: Outputs) -> list[str]:
    if not made.sidecar.is_file():
        return []
    try:
        names = read_json(made.sidecar, "sidecar").get(_OUTPUTS)
    except ClinicaDLError:
        return []
    return [name for name in names if "/" not in name] if isinstance(names, dict) else []


def summary(directory: Path, pipeline: str) -> Path:
    """Return the name that pages, tables and logs of a pipeline begin with, with ``.json``."""
    return directory / FOLDER / f"{pipeline}.json"


def page(directory: Path, pipeline: str) -> Path:
    """Return the page that shows the images of a pipeline."""
    return directory / FOLDER / f"{pipeline}.html"


def made_by(directory: Path, preprocessing: Linear) -> list[tuple[StoredImage, dict[str, Any]]]:
    """Return the uncropped images of a CAPS that we have made, with their sidecars.

    Raises
    ------
    MissingInputError
        A folder cannot be read.
    InvalidDataError
        This is no CAPS, a session has several images that match, or a sidecar is no JSON object.
    """
    if not (directory / caps.SUBJECTS).is_dir():
        return []  # nothing was made yet
    whole = preprocessing.model_copy(update={"use_uncropped_image": True})
    found = []
    for image in caps.index(directory, whole).values():
        sidecar = image.path.with_name(_sidecar(image.path.name))
        if sidecar.is_file():
            content = read_json(sidecar, "sidecar")
            if _OUTPUTS in content:
                found.append((image, content))
    return found
