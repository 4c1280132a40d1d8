"""What bad input gets: one clear message, the right exit code, nothing lost, no traceback."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import pkgutil
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest

SUFFIX = "desc-Tiny_T1w.nii.gz"
FOLDS = "split/2_fold"
TRAIN_TABLE = f"{FOLDS}/split-0/train.tsv"


class Case(NamedTuple):
    """A mistake, the command that meets it, and what must be said."""

    name: str
    spoil: Callable[[Path], object] | None
    command: str
    code: int
    words: tuple[str, ...]


# Commands as they are typed in a folder that holds caps/ and maps/.
SPLIT = "tsvtools split caps/labels.tsv --n_test 6 --ignore_demographics"
BALANCED = "tsvtools split caps/labels.tsv --n_test 6 --p_age_threshold 0.1 --p_sex_threshold 0.1"
KFOLD = "tsvtools kfold caps/labels.tsv --n_splits 2"
PREPARE = f"prepare-data image caps custom --custom_suffix {SUFFIX} -ej tiny -np 1"
TRAIN = (
    f"train classification caps tiny caps/{FOLDS} out --n_splits 2 --split 0 --epochs 1 "
    "--no-gpu -np 0 -a Conv4_FC3"
)
PREDICT = (
    "predict maps new --caps_directory caps --participants_tsv caps/split/test_baseline.tsv "
    "--no-gpu -np 0"
)
RESUME = "train resume maps"
TRIVIAL = (
    f"generate trivial caps out --preprocessing custom --custom_suffix {SUFFIX} --n_subjects 3"
)


# What is done to the folder before the command.
def removed(*names: str):
    def spoil(folder: Path) -> None:
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def written(name: str, content: str | bytes):
    def spoil(folder: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def replaced(name: str, old: str, new: str, count: int = -1):
    def spoil(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))

    return spoil


def appended(name: str, row: Callable[[list[str]], str]):
    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text() + row(path.read_text().splitlines()) + "\n")

    return spoil


def recoded(name: str, change: Callable[[bytes], bytes]):
    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return spoil


def both(*spoils):
    def spoil(folder: Path) -> None:
        for one in spoils:
            one(folder)

    return spoil


def image_path(folder: Path) -> Path:
    return next((folder / "caps/subjects/sub-T003/ses-M000/custom").iterdir())


def image_bytes(change: Callable[[bytes], bytes]):
    """Change the stored bytes of one image, and forget its tensor."""

    def spoil(folder: Path) -> None:
        path = image_path(folder)
        path.write_bytes(change(path.read_bytes()))

    return spoil


def header_says(shape: tuple[int, ...]):
    def change(content: bytes) -> bytes:
        plain = bytearray(gzip.decompress(content))
        plain[40:56] = np.array([len(shape), *shape, *[1] * 7][:8], "<i2").tobytes()
        return gzip.compress(bytes(plain))

    return image_bytes(change)


def voxels_are(make: Callable[[np.ndarray], np.ndarray]):
    def spoil(folder: Path) -> None:
        path = image_path(folder)
        image = nib.load(path)
        nib.save(nib.Nifti1Image(make(image.get_fdata(dtype=np.float32)), image.affine), path)

    return spoil


def every_image_empty(folder: Path) -> None:
    for path in folder.glob("caps/subjects/*/*/custom/*.nii.gz"):
        path.write_bytes(b"")


def one_tensor(change: Callable[[Path], object]):
    def spoil(folder: Path) -> None:
        participant = (folder / "caps" / TRAIN_TABLE).read_text().splitlines()[1].split("\t")[0]
        tensors = folder.glob(f"caps/subjects/{participant}/ses-M000/deep*/*/*/*.pt")
        change(next(tensors))

    return spoil


def crlf(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")


def commas(content: bytes) -> bytes:
    return content.replace(b"\t", b",")


def checkpoint(folder: Path) -> None:
    (folder / "maps/split-0/tmp").mkdir()
    (folder / "maps/split-0/tmp/checkpoint.safetensors").write_bytes(b"\0" * 100)


def no_column(name: str, table: str = "caps/labels.tsv"):
    def spoil(folder: Path) -> None:
        paths = (
            [folder / table] if table.endswith(".tsv") else sorted(folder.glob(f"{table}/**/*.tsv"))
        )
        for path in paths:
            rows = [line.split("\t") for line in path.read_text().splitlines()]
            if name in rows[0]:
                column = rows[0].index(name)
                kept = [row[:column] + row[column + 1 :] for row in rows]
                path.write_text("\n".join("\t".join(row) for row in kept) + "\n")

    return spoil


CASES = [
    # tsvtools split and kfold
    Case("no table", removed("caps/labels.tsv"), SPLIT, 66, ("labels.tsv",)),
    Case("a folder for a table", None, "tsvtools split caps", 66, ("caps",)),
    Case("empty table", written("caps/labels.tsv", ""), SPLIT, 65, ("labels.tsv", "empty")),
    Case("blank table", written("caps/labels.tsv", "\n\n"), SPLIT, 65, ("labels.tsv", "empty")),
    Case(
        "header alone",
        written("caps/labels.tsv", "participant_id\tsession_id\tdiagnosis\n"),
        SPLIT,
        65,
        ("labels.tsv", "no row"),
    ),
    Case("no participants", no_column("participant_id"), SPLIT, 66, ("participant_id",)),
    Case("no sessions", no_column("session_id"), KFOLD, 66, ("session_id",)),
    Case(
        "a row twice",
        appended("caps/labels.tsv", lambda rows: rows[3]),
        SPLIT,
        65,
        ("labels.tsv", "row", "sub-T001"),
    ),
    Case("Windows line ends", recoded("caps/labels.tsv", crlf), SPLIT, 0, ()),
    Case(
        "byte-order mark", recoded("caps/labels.tsv", lambda b: b"\xef\xbb\xbf" + b), SPLIT, 0, ()
    ),
    Case("commas", recoded("caps/labels.tsv", commas), SPLIT, 0, ("labels.tsv", "comma")),
    Case(
        "semicolons",
        recoded("caps/labels.tsv", lambda b: b.replace(b"\t", b";")),
        SPLIT,
        0,
        ("labels.tsv", "semicolon"),
    ),
    Case("bytes", written("caps/labels.tsv", b"\xff\xfe\x00\x01\t\n"), SPLIT, 65, ("labels.tsv",)),
    Case(
        "a short row",
        appended("caps/labels.tsv", lambda rows: "sub-T900\tses-M000"),
        SPLIT,
        65,
        ("labels.tsv", f"row {20 + 5 + 2}"),
    ),
    Case(
        "a name that is no participant",
        replaced("caps/labels.tsv", "sub-T003", "sub-T_3"),
        SPLIT,
        65,
        ("labels.tsv", "sub-T_3"),
    ),
    Case(
        "a name without sub-",
        replaced("caps/labels.tsv", "sub-T003", "T003"),
        SPLIT,
        0,
        ("labels.tsv", "'sub-T003' for 'T003'"),
    ),
    Case(
        "an age that is no number",
        replaced("caps/labels.tsv", "\t60\t", "\tsixty\t"),
        BALANCED,
        65,
        ("sixty", "age"),
    ),
    Case(
        "a sex that is neither",
        replaced("caps/labels.tsv", "\tF\n", "\tfemale\n", 1),
        f"{BALANCED} --balance published",
        65,
        ("sex", "sub-T"),
    ),
    Case("no age", no_column("age"), BALANCED, 66, ("age", "--ignore_demographics")),
    Case("nobody left", None, f"{SPLIT} --n_test 20", 65, ("20",)),
    Case("a negative number", None, f"{SPLIT} --n_test -3", 2, ("--n-test",)),
    Case(
        "balance that cannot be",
        None,
        "tsvtools split caps/labels.tsv --n_test 3 -pa 1 -ps 1 --strict",
        65,
        ("p",),
    ),
    Case("no such column", None, f"{KFOLD} --stratify-by height", 66, ("height",)),
    Case(
        "a missing class",
        replaced("caps/labels.tsv", "sub-T003\tses-M000\tAD", "sub-T003\tses-M000\tn/a"),
        KFOLD,
        0,
        ("sub-T003", "diagnosis", "unknown"),
    ),
    Case("one fold", None, "tsvtools kfold caps/labels.tsv --n_splits 1", 2, ("1",)),
    Case("too many folds", None, "tsvtools kfold caps/labels.tsv --n_splits 50", 65, ("20", "50")),
    # prepare-data
    Case("no CAPS", removed("caps"), PREPARE, 66, ("caps",)),
    Case("a file for a CAPS", written("caps", "x"), PREPARE, 66, ("caps", "not a folder")),
    Case(
        "BIDS for a CAPS",
        both(removed("caps"), written("caps/sub-1/ses-1/anat/sub-1_ses-1_T1w.nii.gz", "x")),
        PREPARE,
        65,
        ("BIDS",),
    ),
    Case("no subjects", both(removed("caps"), written("caps/a", "x")), PREPARE, 65, ("subjects",)),
    Case("unknown preprocessing", None, "prepare-data image caps t1", 2, ("t1-linear",)),
    Case("PET without tracer", None, "prepare-data image caps pet-linear", 2, ("--tracer",)),
    Case("custom without suffix", None, "prepare-data image caps custom", 2, ("--custom_suffix",)),
    Case(
        "an option of another row", None, f"{PREPARE} --tracer 18FFDG", 2, ("tracer", "pet-linear")
    ),
    Case("no such image", None, "prepare-data image caps t1-linear", 66, ("t1_linear",)),
    Case("no process", None, f"{PREPARE} -np 0", 2, ("-np",)),
    Case(
        "a participant without image",
        written("t.tsv", "participant_id\tsession_id\nsub-T001\tses-M000\nsub-X9\tses-M000\n"),
        f"{PREPARE} -tsv t.tsv",
        66,
        ("sub-X9", "ses-M000"),
    ),
    Case("a JSON outside", None, PREPARE.replace("tiny -np", "../../x -np"), 65, ("../../x",)),
    Case(
        "a JSON of another extraction",
        replaced("caps/tensor_extraction/tiny.json", "image", "patch"),
        PREPARE,
        73,
        ("tiny.json",),
    ),
    Case(
        "two images of a session",
        lambda folder: shutil.copy(
            image_path(folder), image_path(folder).with_name(f"sub-T003_other_{SUFFIX}")
        ),
        PREPARE,
        65,
        ("sub-T003",),
    ),
    Case("truncated image", image_bytes(lambda b: b[: len(b) // 2]), PREPARE, 3, ("sub-T003",)),
    Case(
        "damaged image", image_bytes(lambda b: b[:99] + b"x" + b[100:]), PREPARE, 3, ("sub-T003",)
    ),
    Case("empty image", image_bytes(lambda b: b""), PREPARE, 3, ("sub-T003", "empty")),
    Case("no NIfTI", image_bytes(lambda b: b"hello" * 99), PREPARE, 3, ("sub-T003",)),
    Case("a header too large", header_says((99, 20, 17)), PREPARE, 3, ("lies about its size",)),
    Case("a header too small", header_says((18, 20, 16)), PREPARE, 3, ("lies about its size",)),
    Case("a negative size", header_says((-18, 20, 17)), PREPARE, 3, ("sub-T003",)),
    Case("NaN", voxels_are(lambda v: v * np.float32("nan")), PREPARE, 3, ("No voxel",)),
    Case("constant", voxels_are(lambda v: np.ones_like(v)), PREPARE, 3, ("the same",)),
    Case("infinite", voxels_are(lambda v: v + np.float32("inf")), PREPARE, 3, ("infinite",)),
    Case("flat", voxels_are(lambda v: v[:, :, 0]), PREPARE, 3, ("three-dimensional",)),
    Case("a film", voxels_are(lambda v: np.stack([v, v], -1)), PREPARE, 3, ("three-dimensional",)),
    Case("every image", every_image_empty, PREPARE, 65, ("None of the 25 images",)),
    # train
    Case(
        "train: no CAPS", removed("caps/subjects", "caps/tensor_extraction"), TRAIN, 65, ("caps",)
    ),
    Case("no extraction", removed("caps/tensor_extraction/tiny.json"), TRAIN, 66, ("tiny",)),
    Case("another extraction", None, TRAIN.replace("tiny", "big", 1), 66, ("big", "tiny.json")),
    Case(
        "extraction is no JSON",
        written("caps/tensor_extraction/tiny.json", "{"),
        TRAIN,
        65,
        ("tiny.json",),
    ),
    Case(
        "extraction without mode",
        written("caps/tensor_extraction/tiny.json", '{"preprocessing": "custom"}'),
        TRAIN,
        65,
        ("mode",),
    ),
    Case(
        "extraction of patches",
        replaced("caps/tensor_extraction/tiny.json", '"image"', '"patch"'),
        TRAIN,
        2,
        ("patch",),
    ),
    Case(
        "unknown preprocessing in the extraction",
        replaced("caps/tensor_extraction/tiny.json", '"custom"', '"t9"'),
        TRAIN,
        65,
        ("t9",),
    ),
    Case("no tables", removed(f"caps/{FOLDS}"), TRAIN, 66, ("2_fold",)),
    Case("another number of splits", None, TRAIN.replace("s 2", "s 3"), 2, ("2 splits", "3")),
    Case("one split", None, TRAIN.replace("s 2", "s 1"), 2, ("--n_splits",)),
    Case("no such split", None, TRAIN.replace("split 0", "split 2"), 2, ("split 2",)),
    Case("no train table", removed(f"caps/{TRAIN_TABLE}"), TRAIN, 66, ("train.tsv",)),
    Case("no label", no_column("diagnosis", "caps"), TRAIN, 66, ("diagnosis",)),
    Case("no such label", None, f"{TRAIN} --label height", 66, ("height",)),
    Case("nobody with it", None, f"{TRAIN} --diagnoses MCI", 65, ("MCI", "AD")),
    Case("one class", None, f"{TRAIN} --diagnoses AD", 65, ("one class",)),
    Case(
        "a session twice",
        appended(f"caps/{TRAIN_TABLE}", lambda rows: rows[2]),
        TRAIN,
        65,
        ("train.tsv", "row"),
    ),
    Case("train: commas", recoded(f"caps/{TRAIN_TABLE}", commas), TRAIN, 0, ("comma", "edited")),
    Case(
        "train: a table that took in a participant of validation",
        lambda folder: (folder / "caps" / TRAIN_TABLE).write_text(
            (folder / "caps" / TRAIN_TABLE).read_text()
            + (folder / "caps" / FOLDS / "split-0/validation_baseline.tsv")
            .read_text()
            .splitlines()[1]
            + "\n"
        ),
        TRAIN,
        4,
        ("edited after the division", "sub-T"),
    ),
    Case("train: Windows", recoded(f"caps/{TRAIN_TABLE}", crlf), TRAIN, 0, ()),
    Case(
        "a leak",
        lambda folder: shutil.copy(
            folder / "caps" / TRAIN_TABLE,
            folder / "caps" / FOLDS / "split-0/validation_baseline.tsv",
        ),
        TRAIN,
        4,
        ("sub-T",),
    ),
    Case("no tensor", one_tensor(Path.unlink), TRAIN, 66, ("sub-T", "prepare-data")),
    Case(
        "half a tensor",
        one_tensor(lambda path: path.write_bytes(path.read_bytes()[:999])),
        TRAIN,
        65,
        ("sub-T", "prepare-data"),
    ),
    Case("an existing MAPS", None, TRAIN.replace(" out ", " maps "), 73, ("maps",)),
    Case("a file for a MAPS", written("out", "x"), TRAIN, 73, ("out",)),
    Case(
        "a MAPS below a file", written("out", "x"), TRAIN.replace(" out ", " out/a "), 73, ("out",)
    ),
    Case("unknown network", None, f"{TRAIN} -a Conv9", 2, ("Conv5_FC3",)),
    Case("unknown metric", None, f"{TRAIN} -sm BAA", 2, ("BAA", "BA")),
    Case("unknown option", None, f"{TRAIN} --epoch 3", 2, ("--epochs",)),
    Case("no epochs", None, f"{TRAIN} --epochs 0", 2, ("--epochs",)),
    Case("no config file", None, f"{TRAIN} -c a.toml", 66, ("a.toml",)),
    Case("config is no TOML", written("a.toml", "= 3"), f"{TRAIN} -c a.toml", 65, ("a.toml",)),
    Case(
        "unknown key",
        written("a.toml", "[optimization]\nepoch = 3\n"),
        f"{TRAIN} -c a.toml",
        65,
        ("a.toml", "epochs"),
    ),
    Case("no source", None, f"{TRAIN} --transfer_path nowhere", 66, ("nowhere",)),
    Case("no argument", None, "train classification caps tiny", 2, ("TSV_DIRECTORY",)),
    # train resume
    Case("no MAPS", None, "train resume caps", 66, ("caps",)),
    Case("a damaged record", written("maps/maps.json", "{"), RESUME, 65, ("maps.json",)),
    Case("another release", written("maps/maps.json", "{}"), RESUME, 65, ("maps.json",)),
    Case(
        "a record that lost a key",
        lambda folder: (folder / "maps/maps.json").write_text(
            json.dumps({**json.loads((folder / "maps/maps.json").read_text()), "config": {}})
        ),
        RESUME,
        65,
        ("maps.json", "config"),
    ),
    Case("resume: no such split", None, f"{RESUME} --split 7", 2, ("7",)),
    Case("a damaged checkpoint", checkpoint, RESUME, 75, ("checkpoint.safetensors", "Remove")),
    Case(
        "a changed table",
        replaced(f"caps/{TRAIN_TABLE}", "\tF\n", "\tM\n", 1),
        RESUME,
        75,
        ("train.tsv",),
    ),
    # predict
    Case("predict: no MAPS", None, PREDICT.replace("maps", "nowhere"), 66, ("nowhere",)),
    Case("a group of nothing", None, "predict maps new", 2, ("--caps_directory",)),
    Case("a group that is training's", None, "predict maps train", 4, ("train",)),
    Case("a group that was seen", None, PREDICT.replace("test_b", "train_b"), 4, ("sub-T",)),
    Case("a name with a slash", None, PREDICT.replace("new", "a/b"), 2, ("a/b",)),
    Case("predict: no table", None, PREDICT.replace("test_b", "no_b"), 66, ("no_baseline.tsv",)),
    Case(
        "no baseline table", None, PREDICT.replace("/test_baseline.tsv", "/2_fold"), 66, ("2_fold",)
    ),
    Case("predict: no such split", None, f"{PREDICT} --split 1", 66, ("split 1",)),
    Case("an unknown class", None, f"{PREDICT} --label sex", 65, ("AD, CN",)),
    Case(
        "damaged weights",
        written("maps/split-0/best-loss/model.safetensors", "x" * 99),
        PREDICT,
        65,
        ("model.safetensors",),
    ),
    Case("predict: no CAPS", removed("caps/subjects"), PREDICT, 65, ("caps",)),
    # generate
    Case("generate: no CAPS", removed("caps"), TRIVIAL, 66, ("caps",)),
    Case("generate: output exists", written("out/a", "x"), TRIVIAL, 73, ("out",)),
    Case("too many participants", None, f"{TRIVIAL} --n_subjects 99", 2, ("20",)),
    Case("no mask", None, f"{TRIVIAL} --mask_path nowhere", 66, ("nowhere",)),
    Case(
        "shares that are none", None, "generate shepplogan out -asd 0.5 0.1 0.1", 2, ("sum to 1",)
    ),
    Case("two shares", None, "generate shepplogan out -asd 0.5 0.5", 2, ("--ad_subtypes",)),
]


@pytest.fixture
def folder(prepared, trained, tmp_path, monkeypatch, prepared_once):
    """A folder that holds caps/ and maps/, where the commands are typed."""
    record = tmp_path / "maps" / "maps.json"
    record.write_text(record.read_text().replace(str(prepared_once), str(tmp_path / "caps")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_there_are_many_cases_and_each_has_a_name_of_its_own():
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])
def test_bad_input_gets_one_sentence_and_its_exit_code(case, folder, invoke):
    if case.spoil is not None:
        case.spoil(folder)
    before = contents(folder)
    code, _, said = invoke(*case.command.split())
    assert code == case.code, said
    assert "Traceback" not in said
    after = contents(folder)
    assert [name for name in after if ".partial-" in name] == []
    assert all(word in said for word in case.words), said
    if code == 0:
        return
    if code != 2:
        lines = [line for line in said.splitlines() if line.startswith("clinicadl: ")]
        assert len([line for line in lines if line[-1] in ".)"]) >= 1, said
    if code == 3:
        assert "caps/tensor_extraction/tiny_failed.tsv" in after
        assert "sub-T003\tses-M000" in after["caps/tensor_extraction/tiny_failed.tsv"].decode()
        return
    # Nothing is lost and nothing half-done is left: a refusal changes nothing but its own list.
    kept = {name: content for name, content in after.items() if not name.endswith("_failed.tsv")}
    group = ("data.tsv", "maps.json", "sha256.json", "signatures.npz")
    ledger = {"maps/ledger.tsv", *(f"maps/groups/new/{name}" for name in group)}
    if case.name == "damaged weights":
        kept = {name: content for name, content in kept.items() if name not in ledger}
        kept = {n: c for n, c in kept.items() if not n.startswith("maps/split-0/best-BA/new/")}
    assert kept == before


FAILURES = [
    ("split", SPLIT, 1),
    ("kfold", KFOLD, 3),
    ("prepare", PREPARE.replace("tiny", "other"), 1),
    ("prepare later", PREPARE, 4),
    ("train at once", TRAIN, 1),
    ("train at its groups", TRAIN, 5),
    ("predict", PREDICT, 1),
    ("predict later", PREDICT, 5),
    ("generate", TRIVIAL, 2),
]


@pytest.mark.parametrize(("name", "command", "n_writes"), FAILURES, ids=[f[0] for f in FAILURES])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_fails_gets_one_sentence_and_nothing_is_lost(
    name, command, n_writes, number, folder, invoke, monkeypatch
):
    for path in folder.glob("caps/subjects/*/*/deeplearning_prepare_data"):
        if name.startswith("prepare"):
            shutil.rmtree(path)
    before = contents(folder)
    count = 0
    replace = Path.replace

    def failing(path: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count >= n_writes:
            raise OSError(number, os.strerror(number))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", failing)
    arguments = command.split()
    if name == "generate":
        arguments += ["-np", "1"]
    code, _, said = invoke(*arguments)
    assert code == 73, said
    assert os.strerror(number) in said
    assert "Traceback" not in said
    after = contents(folder)
    assert [path for path in after if ".partial-" in path] == []
    assert {path: after.get(path) for path in before} == before


def as_nobody(folder: Path, command: str) -> tuple[int, str]:
    """Run a command with the rights of a user who owns nothing."""
    import clinicadl
    from clinicadl.cli.main import run
    from clinicadl.layouts.maps.record import generated_by

    if os.geteuid() != 0:
        pytest.skip("only the superuser can take another user's rights")
    # That user may not read the installed packages: all that is needed is imported before.
    for module in pkgutil.walk_packages(clinicadl.__path__, "clinicadl."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    generated_by()
    for above in [folder, *folder.parents][:4]:
        above.chmod(0o755)
    said = io.StringIO()
    os.seteuid(65534)
    try:
        with redirect_stderr(said), redirect_stdout(said), pytest.raises(SystemExit) as done:
            run(command.split())
    finally:
        os.seteuid(0)
    return int(done.value.code or 0), said.getvalue()


@pytest.mark.parametrize("command", [SPLIT, KFOLD, PREPARE, TRAIN, PREDICT, TRIVIAL, RESUME])
def test_a_folder_that_may_not_be_written_is_refused_before_any_work(command, folder):
    before = contents(folder)
    code, said = as_nobody(folder, command.replace("tiny -np", "other -np"))
    assert code == 73, said
    assert "Permission denied" in said
    assert "Traceback" not in said
    assert contents(folder) == before


@pytest.mark.parametrize("command", [PREPARE, TRAIN, PREDICT, TRIVIAL])
def test_a_folder_that_may_not_be_read_is_refused(command, folder):
    (folder / "caps").chmod(0o700)
    (folder / "caps/split/2_fold/split-0/train.tsv").chmod(0o600)
    command = command.replace(" out ", " free/out ")
    (folder / "free").mkdir(mode=0o777)
    (folder / "free").chmod(0o777)
    code, said = as_nobody(folder, command)
    assert code == 66, said
    assert "Permission denied" in said
    assert "Traceback" not in said
