"""Where a CAPS keeps the tensors of patches, slices and regions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from clinicadl.config.base import Choice
from clinicadl.errors import InvalidDataError, listed
from clinicadl.layouts import caps, grids, naming

_NUMBER = re.compile(r"(\d+)")
_MARKS = {
    "patch": re.compile(r"(?P<before>.+)_patchsize-\d+_stride-\d+_patch-\d+_(?P<suffix>[^_]+)\.pt"),
    "slice": re.compile(
        r"(?P<before>.+)_axis-(sag|cor|axi)_channel-(single|rgb)_slice-\d+_(?P<suffix>[^_]+)\.pt"
    ),
}
"""What the names of the tensors of parts look like that say which image they are of."""


class PartFolder(NamedTuple):
    """Where the tensors of the parts of an image lie, and the file that ties them to the image."""

    folder: Path
    mode: str
    image: str
    """Name of the image, without ``.nii``."""

    @property
    def origin(self) -> Path:
        """The file that ties the tensors to the image."""
        return self.folder / f"{self.image}.json"


def part_folder(
    directory: Path, image: caps.StoredImage, preprocessing: Choice, mode: str
) -> PartFolder:
    """Return where the tensors of the parts of an image lie.

    Raises
    ------
    InvalidDataError
        A name leads out of the CAPS.
    """
    home = caps.tensor_home(directory, (image.participant, image.session), preprocessing, mode)
    return PartFolder(home, mode, naming.tensor_stem(image.path, preprocessing))


def part_tensor(home: PartFolder, name: str) -> Path:
    """Return the tensor of a part, under the published name.

    The name of the part stands before the last entity of the image's; a region goes by the name of
    its mask, so that of the image only participant, session and an old ``T1w`` are kept.

    Examples
    --------
    >>> home = PartFolder(Path(), "roi", "sub-1_ses-M000_space-MNI_desc-Crop_T1w")
    >>> part_tensor(home, "space-MNI_desc-CropRoi_roi-hippocampus").name
    'sub-1_ses-M000_space-MNI_desc-CropRoi_roi-hippocampus_T1w.pt'
    """
    before, after = _around(home)
    return home.folder / f"{before}{name}{after}"


def _around(home: PartFolder) -> tuple[str, str]:
    """Return what stands in front of and behind the name of a part in a file name."""
    *entities, suffix = home.image.split("_")
    if home.mode == "roi":
        n_first = 3 if entities[2:3] == ["T1w"] else 2
        # The grid of a raw image, which its mask does not tell.
        entities = entities[:n_first] + [one for one in entities[n_first:] if grids.is_entity(one)]
    return "".join(f"{entity}_" for entity in entities), f"_{suffix}.pt"


def neighbours(home: PartFolder) -> list[PartFolder]:
    """Return the other images of the session whose parts lie in the same folder."""
    stems = sorted(path.stem for path in home.folder.glob("[!.]*.json"))
    return [home._replace(image=stem) for stem in stems if stem != home.image]


def stored_parts(home: PartFolder) -> dict[str, Path]:
    """Return the tensors of the parts of an image that are there: name -> file.

    Those of earlier releases count too. The numbers in the names decide the order.
    """
    before, after = _around(home)
    names = [path.name for path in home.folder.glob("[!.]*.pt")]
    found = {
        name[len(before) : len(name) - len(after)]: home.folder / name
        for name in names
        if name.startswith(before) and name.endswith(after) and f"{home.mode}-" in name
    }
    return {name: found[name] for name in sorted(found, key=_by_numbers)}


def _by_numbers(name: str) -> list[tuple[int, str]]:
    pieces = _NUMBER.split(name)
    return [(int(one), "") if one.isdecimal() else (-1, one) for one in pieces]


def index_parts(
    directory: Path, preprocessing: Choice, sessions: Iterable[caps.Session], mode: str
) -> dict[caps.Session, PartFolder]:
    """Return where the parts of each of these sessions lie, by their origins.

    The image itself need not be there any more.

    Raises
    ------
    InvalidDataError
        A session has the parts of several images that match.
    """
    found = caps.index_made(directory, preprocessing, sessions, mode, ".json")
    return {key: PartFolder(path.parent, mode, path.stem) for key, path in found.items()}


def unclaimed(
    directory: Path,
    session: caps.Session,
    preprocessing: Choice,
    mode: str,
    image: caps.StoredImage | None,
) -> PartFolder | None:
    """Return where the parts of a session lie that no origin claims, or nothing.

    Parameters
    ----------
    directory
        The CAPS.
    session
        The session.
    preprocessing
        Row of `PREPROCESSINGS`.
    mode
        Name of the mode.
    image
        The image of the session; if it is gone, the names of the tensors tell its name, unless they
        are regions, which go by their masks.

    Raises
    ------
    InvalidDataError
        The tensors are of several images that match, or a name leads out of the CAPS.
    """
    if image is not None:
        return part_folder(directory, image, preprocessing, mode)
    home = caps.tensor_home(directory, session, preprocessing, mode)
    marks = _MARKS.get(mode)
    if marks is None or not home.is_dir():
        return None
    named = (marks.fullmatch(path.name) for path in home.glob("[!.]*.pt"))
    stems = {f"{match['before']}_{match['suffix']}" for match in named if match}
    found = sorted(stem for stem in stems if naming.is_named(preprocessing, f"{stem}.nii.gz"))
    if len(found) > 1:
        raise InvalidDataError(
            "The tensors of several images match", where=" | ".join(session), found=listed(found),
            fix="Keep one, or make the suffix longer",
        )  # fmt: skip
    return PartFolder(home, mode, found[0]) if found else None
