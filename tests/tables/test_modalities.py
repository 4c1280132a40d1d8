"""Which sessions have an image of a modality."""

import pandas as pd
import pytest

from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import bids
from clinicadl.tables import modalities, sessions


def table(*keys):
    return pd.DataFrame(keys, columns=["participant_id", "session_id"], dtype=object)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "missing_mods_ses-M000.tsv").write_text(
        "participant_id\tt1w\tpet_trc-18FFDG\nsub-01\t1\t0\nsub-02\t0.0\t1.0\nsub-03\tn/a\t2\n"
    )
    (tmp_path / "missing_mods_ses-M06.tsv").write_text("participant_id\tflair\nsub-01\t1\n")
    (tmp_path / "missing_mods_ses-M012.tsv").write_text("participant_id\tT1w\nsub-01\t1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("modality", "expected"),
    [
        ("t1w", [("sub-01", "ses-M000"), ("sub-01", "ses-M012")]),
        ("T1w", [("sub-01", "ses-M000"), ("sub-01", "ses-M012")]),
        ("flair", [("sub-01", "ses-M06")]),
        ("pet_trc-18FFDG", [("sub-02", "ses-M000"), ("sub-03", "ses-M000")]),
    ],
)
def test_a_table_tells_with_anything_but_zero(folder, modality, expected):
    found = modalities.in_tables(folder, modality)
    assert sessions.sessions_of(found.sessions) == expected
    assert [path.name for path in found.read] == sorted(path.name for path in folder.iterdir())


def test_a_month_in_another_spelling_is_the_same_session(folder):
    found = modalities.in_tables(folder, "flair")
    keys = table(("sub-01", "ses-M006"), ("sub-01", "ses-M000"), ("sub-02", "ses-M006"))
    assert modalities.are_in(keys, found).tolist() == [True, False, False]


def test_what_is_in_no_table_has_no_image(folder):
    found = modalities.in_tables(folder, "t1w")
    keys = table(("sub-01", "ses-M012"), ("sub-02", "ses-M012"), ("sub-01", "ses-M024"))
    assert modalities.are_in(keys, found).tolist() == [True, False, False]


def test_a_column_of_no_table_names_the_nearest(folder):
    with pytest.raises(
        MissingInputError, match=r"column t2w.*flair, pet_trc-18FFDG.*--modality T1w"
    ) as refusal:
        modalities.in_tables(folder, "t2w")
    assert str(folder) in str(refusal.value)


@pytest.mark.parametrize("content", ["", "participant_id\tt1w\n"])
def test_an_empty_table_is_named(folder, content):
    (folder / "missing_mods_ses-M024.tsv").write_text(content)
    with pytest.raises(InvalidDataError, match=r"missing_mods_ses-M024\.tsv"):
        modalities.in_tables(folder, "t1w")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("participant_id\tt1w\nsub-01\tyes\n", "row 2, column t1w"),
        ("participant_id\tt1w\nsub-01\t1\nsub-01\t0\n", "row 3"),
        ("participant_id\tt1w\n01\t1\n", "row 2, column participant_id"),
    ],
)
def test_a_wrong_cell_is_placed(folder, content, words):
    (folder / "missing_mods_ses-M024.tsv").write_text(content)
    with pytest.raises(InvalidDataError, match=rf"missing_mods_ses-M024\.tsv, {words}"):
        modalities.in_tables(folder, "t1w")


def test_a_folder_that_is_gone_or_has_no_tables_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="does not exist"):
        modalities.in_tables(tmp_path / "gone", "t1w")
    with pytest.raises(MissingInputError, match="has no missing_mods_<session>"):
        modalities.in_tables(tmp_path, "t1w")


@pytest.fixture
def data_set(tmp_path):
    for path in (
        "sub-01/ses-M000/anat/sub-01_ses-M000_T1w.nii.gz",
        "sub-01/ses-M000/anat/sub-01_ses-M000_FLAIR.nii.gz",
        "sub-01/ses-M006/anat/sub-01_ses-M006_acq-old_T1w.nii",
        "sub-01/ses-M012/anat/sub-01_ses-M012_T1w.json",
        "sub-02/pet/sub-02_trc-18FFDG_pet.nii.gz",
        "sub-02/pet/sub-02_trc-18FAV45_rec-x_pet.nii.gz",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


FIRST, SECOND, FLAT = ("sub-01", "ses-M000"), ("sub-01", "ses-M006"), ("sub-02", "ses-M000")


@pytest.mark.parametrize(
    ("modality", "expected"),
    [
        ("t1w", [FIRST, SECOND]),
        ("t1", [FIRST, SECOND]),
        ("T1w_acq-old", [SECOND]),
        ("flair", [FIRST]),
        ("pet", [FLAT]),
        ("pet_trc-18favxx", None),
        ("pet_trc-18FAV45", [FLAT]),
        ("pet_trc-18FFDG_rec-x", None),
        ("bold", None),
    ],
)
def test_an_image_of_the_data_set_tells(data_set, modality, expected):
    files = bids.index(data_set)
    if expected is None:
        with pytest.raises(InvalidDataError, match=r"FLAIR, T1w, pet.*--modality"):
            modalities.in_bids(files, modality, where=data_set)
    else:
        found = modalities.in_bids(files, modality, where=data_set)
        assert sessions.sessions_of(found.sessions) == expected


def test_the_waves_of_a_real_data_set_have_the_images_its_table_says(real_data):
    home = real_data / "bids-layouts" / "dlbs"
    found = modalities.in_bids(bids.index(home), "t1w", where=home)
    on_disk = {tuple(path.parts[-4:-2]) for path in home.glob("sub-*/ses-*/anat/*_T1w.nii.gz")}
    assert set(sessions.sessions_of(found.sessions)) == on_disk
    assert on_disk
