"""BIDS data sets."""

import pytest

from clinicadl.config.raw import RAW
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import bids


def make(root, *names):
    """Make empty files, in folders that their names tell."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def named(found):
    return {visit: one.path.name for visit, one in found.items()}


def test_what_a_name_says_is_read(tmp_path):
    make(tmp_path, "sub-01/ses-M000/pet/sub-01_ses-M000_trc-18FFDG_run-2_pet.nii.gz")
    (one,) = bids.index(tmp_path)
    assert (one.participant, one.session, one.datatype) == ("sub-01", "ses-M000", "pet")
    assert list(one.entities.items()) == [
        ("sub", "01"), ("ses", "M000"), ("trc", "18FFDG"), ("run", "2"),
    ]  # fmt: skip
    assert (one.suffix, one.extension) == ("pet", ".nii.gz")
    assert one.path.is_file()


def test_participants_with_and_without_sessions_are_indexed_in_order(tmp_path):
    make(
        tmp_path, "sub-02/anat/sub-02_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii",
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii", "sub-01/sub-01_sessions.tsv",
    )  # fmt: skip
    found = [(one.participant, one.session, one.datatype) for one in bids.index(tmp_path)]
    assert found == [
        ("sub-01", None, ""), ("sub-01", "ses-1", "anat"), ("sub-01", "ses-2", "anat"),
        ("sub-02", None, "anat"),
    ]  # fmt: skip


def test_what_is_no_raw_file_of_a_participant_is_left_out(tmp_path, caplog):
    make(
        tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "participants.tsv", "dataset_description.json",
        "derivatives/x/sub-01/anat/sub-01_T1w.nii.gz", "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/.sub-01_bold.nii.gz", "sub-01/anat/notes.txt", "sub-01/anat/sub-01_x_T1w.nii",
        "sub-01/meg/sub-01_meg.ds/sub-01_meg.meg4", "sub-01/.git/sub-01_T1w.nii",
        "sub-01_old/anat/sub-01_T1w.nii.gz",
    )  # fmt: skip
    assert [one.path.name for one in bids.index(tmp_path)] == ["sub-01_T1w.nii.gz"]
    assert "sub-01_old" in caplog.text


@pytest.mark.parametrize(
    "stray",
    ["sub-01/anat/sub-02_T1w.nii.gz", "sub-01/ses-1/anat/sub-01_ses-2_T1w.nii.gz",
     "sub-01/ses-1/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_ses-1_T1w.nii.gz"],
)  # fmt: skip
def test_a_file_in_the_folder_of_somebody_else_is_refused(tmp_path, stray):
    with pytest.raises(InvalidDataError, match=stray.rpartition("/")[2]) as caught:
        bids.index(make(tmp_path, stray))
    assert caught.value.exit_code == 65


def test_a_data_set_that_is_none_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match="does not exist"):
        bids.check(tmp_path / "absent")
    with pytest.raises(MissingInputError, match="not a folder"):
        bids.check(make(tmp_path, "file") / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidDataError, match="empty"):
        bids.check(tmp_path / "empty")
    with pytest.raises(InvalidDataError, match="This is a CAPS"):
        bids.check(make(tmp_path / "caps", "subjects/sub-01/ses-1/x"))
    with pytest.raises(InvalidDataError, match=r"no folder named sub-\*"):
        bids.check(make(tmp_path / "other", "anat/T1w.nii", "sub-01_T1w.nii"))


MIXED = (
    "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01/ses-1/anat/sub-01_ses-1_T1w.json",
    "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz", "sub-01/ses-1/dwi/sub-01_ses-1_dwi.nii",
    "sub-01/ses-1/dwi/sub-01_ses-1_dwi.bval", "sub-01/ses-1/func/sub-01_ses-1_task-x_bold.nii",
    "sub-01/ses-1/pet/sub-01_ses-1_trc-18FFDG_rec-acdyn_run-1_pet.nii.gz",
    "sub-01/ses-1/pet/sub-01_ses-1_trc-18FAV45_pet.nii.gz",
    "sub-02/anat/sub-02_t1W.nii",
)  # fmt: skip


@pytest.mark.parametrize(
    ("modality", "options", "expected"),
    [
        ("t1", {}, {("sub-01", "ses-1"): "sub-01_ses-1_T1w.nii.gz",
                    ("sub-02", None): "sub-02_t1W.nii"}),
        ("flair", {}, {("sub-01", "ses-1"): "sub-01_ses-1_FLAIR.nii.gz"}),
        ("dwi", {}, {("sub-01", "ses-1"): "sub-01_ses-1_dwi.nii"}),
        ("pet", {"tracer": "18FAV45"},
         {("sub-01", "ses-1"): "sub-01_ses-1_trc-18FAV45_pet.nii.gz"}),
        ("pet", {"reconstruction": "acdyn"},
         {("sub-01", "ses-1"): "sub-01_ses-1_trc-18FFDG_rec-acdyn_run-1_pet.nii.gz"}),
        ("pet", {"tracer": "18FAV45", "reconstruction": "acdyn"}, {}),
        ("custom", {"custom_suffix": "task-?_bold.nii"},
         {("sub-01", "ses-1"): "sub-01_ses-1_task-x_bold.nii"}),
    ],
)  # fmt: skip
def test_the_image_of_a_modality_is_found(tmp_path, modality, options, expected):
    files = bids.index(make(tmp_path, *MIXED))
    assert named(bids.images(files, RAW[modality](**options))) == expected


def test_several_images_of_one_session_are_refused(tmp_path):
    files = bids.index(make(tmp_path, *MIXED))
    with pytest.raises(InvalidDataError, match=r"sub-01 \| ses-1") as caught:
        bids.images(files, RAW["pet"]())
    assert "18FAV45" in str(caught.value)
    assert "18FFDG" in str(caught.value)


def test_the_last_of_several_runs_is_taken_with_a_warning(tmp_path, caplog):
    names = [f"sub-01/anat/sub-01_run-{i}_T1w.nii.gz" for i in (2, 10, 1)]
    files = bids.index(make(tmp_path, *names))
    assert named(bids.images(files, RAW["t1"]())) == {("sub-01", None): "sub-01_run-10_T1w.nii.gz"}
    assert "several runs" in caplog.text


def test_runs_of_two_kinds_are_several_images(tmp_path):
    names = ["sub-01/anat/sub-01_run-1_T1w.nii.gz", "sub-01/anat/sub-01_acq-x_run-2_T1w.nii.gz"]
    with pytest.raises(InvalidDataError, match="Several images"):
        bids.images(bids.index(make(tmp_path, *names)), RAW["t1"]())


def test_the_tables_of_a_data_set_are_read(tmp_path):
    make(tmp_path, "sub-01/ses-1/x")
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-01\tn/a\n")
    (tmp_path / "sub-01" / "sub-01_sessions.tsv").write_text("session_id\nses-1\n")
    scans = tmp_path / "sub-01" / "ses-1" / "sub-01_ses-1_scans.tsv"
    scans.write_text("filename\tacq_time\nanat/sub-01_ses-1_T1w.nii\tn/a\n")
    assert bids.participants(tmp_path)["age"].isna().all()
    assert [row["session_id"] for row in bids.sessions(tmp_path, "sub-01")] == ["ses-1"]
    found = bids.scans(tmp_path, "sub-01", "ses-1")
    assert found["filename"].tolist() == ["anat/sub-01_ses-1_T1w.nii"]


def test_wrong_tables_of_a_data_set_are_refused_with_their_rows(tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\nsub-01\nsub-01\n")
    with pytest.raises(InvalidDataError, match=r"participants\.tsv, row 3"):
        bids.participants(tmp_path)
    make(tmp_path, "sub-01/x")
    (tmp_path / "sub-01" / "sub-01_sessions.tsv").write_text("session_id\nM00\n")
    with pytest.raises(InvalidDataError, match=r"sub-01_sessions\.tsv, row 2"):
        bids.sessions(tmp_path, "sub-01")
    for wrong in ("session_id\nses-1\nses-1\n", "session_id\tn\nses-1\t1\nses-1\t1\n"):
        (tmp_path / "sub-01" / "sub-01_sessions.tsv").write_text(wrong)
        with pytest.raises(InvalidDataError, match=r"sub-01_sessions\.tsv, row 3"):
            bids.sessions(tmp_path, "sub-01")
    (tmp_path / "sub-01" / "sub-01_sessions.tsv").write_text("age\n1\n")
    with pytest.raises(MissingInputError, match="no column session_id"):
        bids.sessions(tmp_path, "sub-01")
    with pytest.raises(MissingInputError, match=r"sub-01_scans\.tsv"):
        bids.scans(tmp_path, "sub-01")
    with pytest.raises(InvalidDataError, match="no id"):
        bids.sessions(tmp_path, "../sub-01")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "modality", "options", "n_images"),
    [
        ("open-ms-bids", "t1", {}, 4),
        ("open-ms-bids", "flair", {}, 1),
        ("forrest-bids", "t1", {}, 1),
        ("ixi-bids-2mm", "t1", {}, 24),
        ("bids-layouts/synthetic", "t1", {}, 10),
        ("bids-layouts/ds006", "t1", {}, 28),
        ("bids-layouts/pet002", "pet", {}, 4),
        ("bids-layouts/dlbs", "pet", {"tracer": "18FAV45"}, 27),
        ("bids-layouts/dlbs", "pet", {"tracer": "18FAV1451"}, 11),
        ("bids-layouts/dlbs", "custom", {"custom_suffix": "acq-FLAIR*_T2w.nii.gz"}, 67),
    ],
)
def test_real_data_sets_are_indexed(real_data, name, modality, options, n_images):
    files = bids.index(real_data / name)
    # The reference is a plain recursive glob.
    paths = {path for path in (real_data / name).glob("sub-*/**/*") if path.is_file()}
    assert {one.path for one in files} == paths
    assert len(bids.images(files, RAW[modality](**options))) == n_images


@pytest.mark.data
@pytest.mark.parametrize("name", ["open-ms-bids", "bids-layouts/dlbs", "ixi-bids-2mm"])
def test_real_participants_are_those_of_the_folders(real_data, name):
    indexed = {one.participant for one in bids.index(real_data / name)}
    assert indexed <= set(bids.participants(real_data / name)["participant_id"])
