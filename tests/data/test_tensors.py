"""Stored tensors: what torch reads, whole files, damaged files, the same bytes."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.data import tensors
from clinicadl.draws import generator
from clinicadl.errors import InvalidDataError, OutputError

SHAPE = (5, 6, 7)
shapes = st.tuples(*[st.integers(1, 6)] * 3)


def volume(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return generator(0, "volume").normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tensors")


@given(shapes)
@pytest.mark.parametrize("options", [{}, {"mmap": True}, {"weights_only": False}], ids=str)
def test_torch_alone_reads_what_is_written(folder, options, shape):
    path = folder / "a.pt"
    tensors.write(path, volume(shape))
    for given_as in (path, str(path)):
        found = torch.load(given_as, **options)
        assert torch.equal(found, torch.from_numpy(volume(shape))[None])
        assert found.dtype == torch.float32
        assert found.is_contiguous()


def test_torch_reads_it_from_an_open_file_too(tmp_path):
    tensors.write(tmp_path / "a.pt", volume())
    with (tmp_path / "a.pt").open("rb") as file:
        assert torch.equal(torch.load(file), torch.from_numpy(volume())[None])


def test_every_number_survives_bit_by_bit(tmp_path):
    values = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 3.4e38, 1 / 3], np.float32)
    tensors.write(tmp_path / "a.pt", values.reshape(2, 2, 2))
    assert tensors.read(tmp_path / "a.pt").numpy().tobytes() == values.tobytes()


@pytest.mark.parametrize(
    "view",
    [
        lambda values: np.asfortranarray(values),
        lambda values: values[::2, ::-1, 1:],
        lambda values: values.transpose(2, 0, 1),
        lambda values: values.astype(">f4"),
    ],
    ids=["Fortran", "cut", "transposed", "big-endian"],
)
def test_the_order_in_memory_is_no_matter(tmp_path, view):
    tensors.write(tmp_path / "a.pt", view(volume()))
    expected = np.ascontiguousarray(view(volume()), dtype=np.float32)
    assert torch.equal(tensors.read(tmp_path / "a.pt"), torch.from_numpy(expected)[None])


def test_the_same_volume_is_the_same_bytes_whatever_the_name(tmp_path):
    tensors.write(tmp_path / "a.pt", volume())
    tensors.write(tmp_path / "another.pt", volume())
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another.pt").read_bytes()


def test_the_archive_is_sound_and_uncompressed(tmp_path):
    tensors.write(tmp_path / "a.pt", volume())
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        # testzip reads every record and compares its checksum.
        assert archive.testzip() is None
        assert {record.compress_type for record in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("archive/data/0") == volume().tobytes()


@given(shapes)
def test_the_size_of_a_file_is_known_from_its_shape(folder, shape):
    tensors.write(folder / "a.pt", volume(shape))
    assert (folder / "a.pt").stat().st_size == tensors.n_bytes((1, *shape))
    assert tensors.n_bytes((1, *shape)) - 4 * np.prod(shape) < 1024


def test_a_tensor_is_mapped_aligned_and_changed_for_its_reader_alone(tmp_path):
    path = tmp_path / "a.pt"
    tensors.write(path, volume())
    before = path.read_bytes()
    found = tensors.read(path)
    assert found.data_ptr() % 64 == 0
    assert str(path) in Path("/proc/self/maps").read_text()
    found += 1
    assert path.read_bytes() == before
    assert torch.equal(tensors.read(path), torch.from_numpy(volume())[None])


def test_a_tensor_that_torch_wrote_is_read(tmp_path):
    strided = torch.from_numpy(np.asfortranarray(volume()))[None]
    torch.save(strided, tmp_path / "a.pt")
    assert torch.equal(tensors.read(tmp_path / "a.pt"), strided)


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "a.pt"
    tensors.write(path, volume((2, 2, 2)))
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(InvalidDataError) as refusal:
            tensors.read(path)
        assert refusal.value.exit_code == 65
        assert str(path) in str(refusal.value)
        assert "prepare-data" in str(refusal.value)


@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_file_is_refused_or_read_but_never_anything_else(folder, damage):
    path = folder / "damaged.pt"
    tensors.write(path, volume((1, 1, 2)))
    content = bytearray(path.read_bytes())
    for position, value in damage:
        content[position % len(content)] = value
    path.write_bytes(content)
    try:
        found = tensors.read(path)
    except InvalidDataError as refusal:
        assert str(path) in str(refusal)
    else:
        assert found.dtype == torch.float32


class Command:
    def __reduce__(self):
        return (print, ("this must not be run",))


@pytest.mark.parametrize(
    "content",
    [
        {"image": torch.zeros(1, 2, 2, 2)},
        torch.zeros(1, 2, 2, 2, dtype=torch.float64),
        torch.zeros(1, 2, 2, 2, dtype=torch.int16),
        [1, 2, 3],
        Command(),
    ],
    ids=["dictionary", "float64", "int16", "list", "code"],
)
def test_what_is_no_float32_tensor_is_refused_and_runs_nothing(tmp_path, content, capsys):
    path = tmp_path / "a.pt"
    torch.save(content, path)
    with pytest.raises(InvalidDataError, match=r"a\.pt"):
        tensors.read(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", bytes(500), b"\x80\x02."])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InvalidDataError, match=r"cannot be read in .*a\.pt"):
        tensors.read(tmp_path / "a.pt")


def test_an_absent_tensor_is_refused_by_name(tmp_path):
    with pytest.raises(InvalidDataError, match=r"absent\.pt"):
        tensors.read(tmp_path / "absent.pt")


def test_a_volume_too_large_for_the_format_is_refused_before_anything_is_written(tmp_path):
    # One byte stands for all: nothing of this size is in memory.
    huge = np.broadcast_to(np.float32(0), (1024, 1024, 513))
    with pytest.raises(InvalidDataError, match="too large"):
        tensors.write(tmp_path / "a.pt", huge)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        tensors.write(tmp_path / "file" / "a.pt", volume())


def test_writing_does_not_wait_for_torch():
    code = "import sys, clinicadl.data.prepare; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
