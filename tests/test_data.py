"""The reference data sets: what the tests read is what ``dvc.lock`` says, bit by bit."""

from hashlib import md5
from pathlib import Path
from runpy import run_path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = run_path(str(ROOT / "scripts" / "data.py"))
IGNORED = "deeplearning_prepare_data"
"""Where ``.dvcignore`` leaves sidecars out: they say when a file was made."""


@pytest.fixture(scope="module")
def known():
    return STAGES["read_files"](ROOT / "dvc.files.tsv")


def hashes(folder: Path, where: str = "") -> dict[str, str]:
    """Return the MD5 of each file that a stage would put below ``where``."""
    return {
        f"{where}{path.relative_to(folder).as_posix()}": md5(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not (path.suffix == ".json" and IGNORED in path.parts)
    }


def test_the_lock_and_the_table_of_all_files_agree(known):
    assert STAGES["disagreements"](ROOT / "dvc.lock", known) == []
    assert len({one.stage for one in known}) == 7


def test_another_row_in_the_table_of_all_files_is_seen(known):
    other = [known[0]._replace(md5="0" * 32), *known[1:]]
    said = STAGES["disagreements"](ROOT / "dvc.lock", other)
    assert said == [
        f"stage {known[0].stage}: data/tables/split/2_fold: dvc.lock and dvc.files.tsv do not agree"
    ]


def test_the_stages_are_the_data_sets_that_the_tests_read(prepared_once, known):
    made = hashes(prepared_once)
    expected = {}
    for one in known:
        if one.stage == "prepare":
            expected[one.path.removeprefix("data/prepared/")] = one.md5
        if one.stage in ("split", "kfold"):
            expected[one.path.removeprefix("data/tables/")] = one.md5
    assert made == expected
    assert len(made) == 52 + 11


def test_one_changed_voxel_is_seen_and_named(tmp_path, known, caps_of):
    from clinicadl.layouts import images

    caps_of(tmp_path / "tiny")
    path = next((tmp_path / "tiny").rglob("sub-T003_ses-M000_*.nii.gz"))
    image = images.read(path)
    voxels = image.voxels.copy()
    voxels[4, 4, 4] += 2**-20
    images.write(path, voxels, affine=image.affine)
    of_tiny = [one for one in known if one.stage == "tiny"]
    made = [
        STAGES["File"]("tiny", name, digest)
        for name, digest in hashes(tmp_path / "tiny", "data/tiny/").items()
    ]
    name = path.relative_to(tmp_path / "tiny").as_posix()
    assert STAGES["differences"](of_tiny, made) == [f"stage tiny: data/tiny/{name} changed"]


def test_files_that_come_and_go_are_named(known):
    first, second, *others = known
    new = second._replace(path="data/new.tsv")
    assert STAGES["differences"](known, [first, new, *others]) == sorted(
        [
            f"stage {new.stage}: data/new.tsv is new",
            f"stage {second.stage}: {second.path} is not made any more",
        ]
    )


def test_the_table_of_all_files_has_its_header(tmp_path):
    path = tmp_path / "files.tsv"
    path.write_text("something else\n")
    with pytest.raises(ValueError, match=r"files\.tsv does not begin"):
        STAGES["read_files"](path)
