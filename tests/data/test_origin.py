"""What ties a tensor to its image is believed only while both are as they were."""

import json
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from clinicadl.config.preprocessing import Custom
from clinicadl.data import belonging, origin
from clinicadl.data.origin import Origin, StoredPart
from clinicadl.data.prepare import plan, run
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.layouts import caps, images

ROW = Custom(custom_suffix="desc-Tiny_T1w.nii.gz")
SAID = Origin(
    source="subjects/sub-01/ses-M000/custom/a.nii.gz",
    sha256="0" * 64,
    n_bytes=123,
    mtime_ns=1_700_000_000_123_456_789,
    shape=(1, 3, 4, 5),
    affine=((1.5, 0.0, 0.0, -90.2), (0.0, 1.0, 0.1, 0.0), (0.0, 0.0, 1.0, 1e-7), (0.0, 0, 0, 1)),
)


def all_sessions(prepared: Path) -> list[tuple[str, str]]:
    return caps.sessions(prepared)


def first(prepared: Path):
    """Return the first session, its image and its tensor."""
    key = all_sessions(prepared)[0]
    image = caps.index(prepared, ROW)[key]
    return key, image.path, caps.image_tensor(prepared, image, ROW)


def complaint(prepared: Path) -> str:
    with pytest.raises(InvalidDataError) as refusal:
        belonging.verify(prepared, ROW, all_sessions(prepared))
    assert refusal.value.exit_code == 65
    assert "Run prepare-data again" in str(refusal.value)
    return str(refusal.value)


def test_an_origin_survives_the_file(tmp_path):
    origin.write(tmp_path / "a.json", SAID)
    assert origin.read(tmp_path / "a.json") == SAID


PARTS = {
    "patch-0": StoredPart((1, 2, 2, 2), (0, 0, 0)),
    "roi-a": StoredPart((1, 2, 1, 2), (1, 3, 0), "f" * 64),
}


def test_the_parts_of_an_origin_survive_the_file(tmp_path):
    with_parts = replace(SAID, parts=PARTS)
    origin.write(tmp_path / "a.json", with_parts)
    assert origin.read(tmp_path / "a.json") == with_parts
    origin.write(tmp_path / "b.json", SAID)
    assert "parts" not in json.loads((tmp_path / "b.json").read_text())


@pytest.mark.parametrize(
    "wrong",
    [
        3, ["a"], {"a": None}, {"a": {}}, {"a": {"shape": [1], "start": [0, 0, 0]}},
        {"a": {"shape": [0], "start": [0, 0, 0], "mask": ""}},
        {"a": {"shape": [2**30], "start": [0, 0, 0], "mask": ""}},
        {"a": {"shape": ["x"], "start": [0, 0, 0], "mask": ""}},
    ],
    ids=str,
)  # fmt: skip
def test_damaged_parts_are_refused(tmp_path, wrong):
    path = tmp_path / "a.json"
    origin.write(path, replace(SAID, parts=PARTS))
    path.write_text(json.dumps({**json.loads(path.read_text()), "parts": wrong}))
    with pytest.raises(InvalidDataError, match=r"damaged in .*a\.json"):
        origin.read(path)


@pytest.mark.parametrize("key", ["source", "sha256", "n_bytes", "mtime_ns", "shape", "affine"])
@pytest.mark.parametrize("wrong", [None, [], {}, "gone"])
def test_a_damaged_origin_is_refused(tmp_path, key, wrong):
    path = tmp_path / "a.json"
    origin.write(path, SAID)
    content = json.loads(path.read_text())
    if wrong == "gone":
        del content[key]
    else:
        content[key] = wrong
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidDataError, match=r"damaged in .*a\.json"):
        origin.read(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_origin_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InvalidDataError, match=r"a\.json"):
        origin.read(tmp_path / "a.json")


@pytest.mark.parametrize("shape", [[], [0], [1, -3, 4], [1, 2**20, 2**20, 2**20], [1, 1e400]])
def test_a_shape_that_no_tensor_has_is_damage(tmp_path, shape):
    path = tmp_path / "a.json"
    origin.write(path, SAID)
    path.write_text(json.dumps({**json.loads(path.read_text()), "shape": shape}))
    with pytest.raises(InvalidDataError, match="damaged"):
        origin.read(path)


def test_an_origin_says_what_the_tensor_was_made_from(prepared_once):
    for key, ((found,), said) in belonging.verify(
        prepared_once, ROW, all_sessions(prepared_once)
    ).items():
        source = prepared_once / said.source
        image = images.read(source)
        assert said.source.startswith(f"subjects/{key[0]}/{key[1]}/custom/")
        assert said.sha256 == sha256(source.read_bytes()).hexdigest()
        assert said.n_bytes == source.stat().st_size
        assert said.mtime_ns == source.stat().st_mtime_ns
        assert said.shape == (1, *image.voxels.shape)
        assert [list(row) for row in said.affine] == image.affine.tolist()
        assert origin.read(found.with_suffix(".json")) == said


def test_every_session_that_is_asked_for_is_answered_in_order(prepared_once):
    wanted = all_sessions(prepared_once)[::-2]
    assert list(belonging.verify(prepared_once, ROW, wanted)) == wanted
    assert belonging.verify(prepared_once, ROW, []) == {}


def test_sessions_without_a_tensor_are_named_in_one_error(prepared):
    wanted = [*all_sessions(prepared), ("sub-X1", "ses-M000"), ("sub-X2", "ses-M000")]
    _, _, found = first(prepared)
    found.tensor.unlink()
    with pytest.raises(MissingInputError, match="3 of 27 sessions have no tensor") as refusal:
        belonging.verify(prepared, ROW, wanted)
    said = str(refusal.value)
    assert "sub-T000 | ses-M000, sub-X1 | ses-M000, sub-X2 | ses-M000" in said
    assert "Run prepare-data" in said


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found.origin.write_text(""),
        lambda found: found.origin.write_text("{}"),
        lambda found: found.tensor.write_bytes(b""),
        lambda found: found.tensor.write_bytes(found.tensor.read_bytes()[:-1]),
        lambda found: found.tensor.write_bytes(found.tensor.read_bytes() + b"0"),
    ],
    ids=["empty origin", "hollow origin", "empty", "short", "long"],
)
def test_an_incomplete_tensor_is_named(prepared, spoil):
    _, _, found = first(prepared)
    spoil(found)
    said = complaint(prepared)
    assert "1 of 25 tensors do not belong to their images" in said
    assert "sub-T000 | ses-M000 (incomplete)" in said
    assert origin.of(found) is None


@pytest.mark.parametrize("same_size", [True, False])
@pytest.mark.parametrize("same_time", [True, False])
def test_an_image_that_changed_is_named(prepared, same_size, same_time):
    _, source, _ = first(prepared)
    before = source.stat()
    content = bytearray(source.read_bytes())
    content[20] ^= 1
    source.write_bytes(content if same_size else content + b"0")
    if same_time:
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    if same_size and same_time:
        # Nobody reads every image before every training: size and time are believed.
        belonging.verify(prepared, ROW, all_sessions(prepared))
    else:
        assert "sub-T000 | ses-M000 (the image changed)" in complaint(prepared)


def test_an_image_of_another_time_and_the_same_content_is_the_same(prepared):
    _, source, _ = first(prepared)
    os.utime(source, ns=(1, 1))
    assert len(belonging.verify(prepared, ROW, all_sessions(prepared))) == 25


def test_an_image_that_is_gone_is_no_matter(prepared):
    expected = belonging.verify(prepared, ROW, all_sessions(prepared))
    for path in prepared.glob("subjects/*/*/custom/*.nii.gz"):
        path.unlink()
    assert belonging.verify(prepared, ROW, all_sessions(prepared)) == expected


def test_many_changed_images_are_one_error_that_names_ten(prepared):
    for path in prepared.glob("subjects/*/*/custom/*.nii.gz"):
        path.write_bytes(b"other")
    said = complaint(prepared)
    assert "25 of 25 tensors" in said
    assert said.count("sub-T") == 10
    assert "and 15 more" in said


def test_images_are_read_only_where_size_and_time_leave_a_doubt(prepared):
    key, source, found = first(prepared)
    said = origin.read(found.origin)
    now = source.stat()
    # Of an image that cannot be read no hash can be taken: only a doubt would try.
    absent = prepared / "absent.nii.gz"
    assert origin.is_unchanged(said, absent, now)
    assert not origin.is_unchanged(replace(said, n_bytes=said.n_bytes + 1), absent, now)
    with pytest.raises(MissingInputError):
        origin.is_unchanged(replace(said, mtime_ns=0), absent, now)
    assert origin.is_unchanged(replace(said, mtime_ns=0), source, now)
    assert not origin.is_unchanged(replace(said, mtime_ns=0, sha256="0" * 64), source, now)
    assert key == ("sub-T000", "ses-M000")


def test_what_was_refused_is_mended_by_preparing_again(prepared, config_of_caps):
    _, source, found = first(prepared)
    found.origin.unlink()
    images.write(source, images.read(source).voxels * 2, affine=images.read(source).affine)
    complaint(prepared)
    for outcome in run(plan(config_of_caps(prepared))):
        assert outcome.error is None
    assert len(belonging.verify(prepared, ROW, all_sessions(prepared))) == 25


@pytest.fixture
def config_of_caps():
    from clinicadl import PrepareConfig

    def config(directory: Path) -> PrepareConfig:
        return PrepareConfig(
            caps_directory=directory, preprocessing=ROW, extract_json="tiny", n_proc=1
        )

    return config
