"""Samples and batches: pure, in order, whoever computes them."""

from __future__ import annotations

import os
import pickle
from functools import partial

import numpy as np
import pytest
import torch

from clinicadl.config.mode import ImageMode, PatchMode
from clinicadl.config.transforms import TransformsConfig
from clinicadl.data import tensors
from clinicadl.data.batches import Loader, readers_watched
from clinicadl.data.dataset import PartDataset
from clinicadl.data.parts import patches, whole
from clinicadl.errors import ClinicaDLError, InvalidDataError, MissingInputError
from clinicadl.transforms.intensity import min_max
from clinicadl.transforms.pipeline import pipeline


@pytest.fixture
def dataset(tmp_path):
    volumes = np.random.default_rng(0).random((7, 4, 5, 6), dtype=np.float32)
    for number, voxels in enumerate(volumes):
        tensors.write(tmp_path / f"{number}.pt", voxels)
    files = [[(tmp_path / f"{number}.pt",)] for number in range(7)]
    one = whole(ImageMode(), (1, 4, 5, 6))
    return PartDataset(files, list(range(10, 17)), one, pipeline(TransformsConfig()))


@pytest.mark.parametrize("n_proc", [0, 1, 2])
def test_batches_follow_the_order_and_the_order_may_change(dataset, n_proc):
    loader = Loader(dataset, n_proc=n_proc)
    for order in ([[3, 1], [6]], [[0], [5, 2, 4]], [[3, 1], [6]]):
        batches = list(loader(order))
        assert [batch.rows for batch in batches] == order
        for batch in batches:
            assert batch.targets.tolist() == [row + 10 for row in batch.rows]
            expected = torch.stack([dataset[row].image for row in batch.rows])
            assert torch.equal(batch.images, expected)


def test_a_batch_of_a_worker_lies_in_shared_memory_from_the_beginning(dataset):
    (own,), (workers,) = (list(Loader(dataset, n_proc=n)([[3, 1, 6]])) for n in (0, 1))
    assert not own.images.is_shared()
    assert workers.images.is_shared()
    assert torch.equal(own.images, workers.images)
    # The samples are made in their places: nothing of the batch is left of the last one.
    assert workers.images.untyped_storage().nbytes() == 3 * 4 * 5 * 6 * 4


@pytest.mark.parametrize("n_proc", [0, 2])
def test_an_error_of_a_worker_arrives_as_it_was(dataset, tmp_path, n_proc):
    loader = Loader(dataset, n_proc=n_proc)
    assert len(list(loader([[0], [1]]))) == 2
    (tmp_path / "4.pt").unlink()
    with pytest.raises(MissingInputError) as refusal:
        list(loader([[0, 1], [3, 4], [2]]))
    assert refusal.value.where == tmp_path / "4.pt"
    assert "Traceback" not in str(refusal.value)
    # The workers live on.
    assert [batch.rows for batch in loader([[2], [6]])] == [[2], [6]]


def test_a_worker_that_was_killed_is_said():
    """Torch raises it wherever this process happens to be, so the sentence alone is given here."""
    torch_says = "DataLoader worker (pid 7) is killed by signal: Killed. "
    said = "process that reads samples was killed.*--n_proc"
    with pytest.raises(ClinicaDLError, match=said), readers_watched():
        raise RuntimeError(torch_says)
    with pytest.raises(RuntimeError, match="something else"), readers_watched():
        raise RuntimeError("something else")


CHANGES = {
    "gone": lambda path: path.unlink(),
    "cut short": lambda path: os.truncate(path, path.stat().st_size - 100),
    "empty": lambda path: os.truncate(path, 0),
    "garbage": lambda path: path.write_bytes(b"garbage"),
    "garbage of its size": lambda path: path.write_bytes(b"x" * path.stat().st_size),
    "no tensor": lambda path: torch.save({"a": 1}, path),
    "of integers": lambda path: torch.save(torch.zeros(1, 4, 5, 6, dtype=torch.int32), path),
    "of another shape": lambda path: tensors.write(path, np.ones((4, 5, 7), np.float32)),
    "of one voxel": lambda path: tensors.write(path, np.ones((1, 1, 1), np.float32)),
}


@pytest.mark.parametrize("was_read", [False, True], ids=["before", "after it was mapped"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_tensor_that_changed_is_refused_before_it_is_touched(dataset, tmp_path, change, was_read):
    """Also where it was mapped: behind the end of a file the process would die on the spot."""
    if was_read:
        dataset[3]
    path = tmp_path / "3.pt"
    CHANGES[change](path)
    expected = MissingInputError if change == "gone" else InvalidDataError
    with pytest.raises(expected) as refusal:
        dataset[3]
    assert refusal.value.where == path
    assert dataset[2].row == 2


def test_a_part_that_was_stored_must_have_its_own_shape(dataset, tmp_path):
    parts = patches(PatchMode(patch_size=2, stride_size=2), (1, 4, 5, 6))
    path = tmp_path / "part.pt"
    samples = PartDataset([[[path] * 12]], [0], parts, min_max, are_cut=[True])
    tensors.write_part(path, np.ones((1, 2, 2, 2), np.float32))
    assert samples[5].image.shape == (1, 2, 2, 2)
    other = PartDataset([[[path] * 12]], [0], parts, min_max, are_cut=[True])
    tensors.write_part(path, np.ones((1, 1, 1, 1), np.float32))
    with pytest.raises(InvalidDataError, match=r"\(1, 1, 1, 1\), not \(1, 2, 2, 2\)"):
        other[5]


def test_a_sample_is_the_same_however_often_it_is_asked_for(dataset):
    assert len(dataset) == 7
    assert torch.equal(dataset[2].image, dataset[2].image)
    assert dataset[2].image.shape == (1, 4, 5, 6)
    assert dataset[2].image.min() == 0
    assert dataset[2].image.max() == 1


def test_a_data_set_reaches_a_worker_that_is_no_fork(dataset):
    expected = dataset[4].image
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[4].image, expected)
    assert copy[4].target == dataset[4].target


@pytest.mark.parametrize("are_cut", [False, True])
def test_a_sample_is_one_part_of_one_image(dataset, tmp_path, are_cut):
    """Parts cut on the fly and parts that were stored are the same bits, normalized one by one."""
    parts = patches(PatchMode(patch_size=2, stride_size=2), (1, 4, 5, 6))
    files = dataset.files
    if are_cut:
        cut = [[parts.cut(tensors.read(path), part) for part in range(12)] for ((path,),) in files]
        files = [[[tmp_path / f"{i}-{part}.pt" for part in range(12)]] for i in range(7)]
        for own, (paths,) in zip(cut, files, strict=True):
            for voxels, path in zip(own, paths, strict=True):
                tensors.write_part(path, voxels.numpy())
    settings = TransformsConfig()
    samples = PartDataset(files, range(10, 17), parts, pipeline(settings), are_cut=[are_cut])
    assert len(samples) == 7 * 12
    volume = torch.load(tmp_path / "3.pt", weights_only=True)
    for part, (x, y, z) in enumerate(np.ndindex(2, 2, 3)):
        sample = samples[3 * 12 + part]
        expected = volume[:, 2 * x : 2 * x + 2, 2 * y : 2 * y + 2, 2 * z : 2 * z + 2]
        assert torch.equal(sample.image, min_max(expected))
        assert (sample.target, sample.row) == (13, 36 + part)
    copy = pickle.loads(pickle.dumps(samples))
    assert torch.equal(copy[40].image, samples[40].image)


@pytest.mark.parametrize("n_proc", [0, 2])
def test_training_alone_is_augmented(dataset, n_proc):
    augment = partial(shifted, by=0.5)
    changed = PartDataset(
        dataset.files, dataset.targets, dataset.parts, dataset.transform, augment=augment
    )
    loader = Loader(changed, n_proc=n_proc)
    (plain,), (training,) = list(loader([[3, 1]])), list(loader([[3, 1]], epoch=4))
    assert torch.equal(plain.images, torch.stack([dataset[3].image, dataset[1].image]))
    expected = [dataset[3].image + 0.5 + 4 + 3, dataset[1].image + 0.5 + 4 + 1]
    assert torch.equal(training.images, torch.stack(expected))
    assert training.rows == [3, 1]


def shifted(image, epoch, sample, *, by):
    return image + by + epoch + sample


def test_channels_are_normalized_one_by_one_and_lie_behind_each_other(dataset, tmp_path):
    """A bright modality does not darken the other; stored parts and images may stand together."""
    parts = patches(PatchMode(patch_size=2, stride_size=2), (1, 4, 5, 6))
    images = [tmp_path / f"{i}.pt" for i in range(7)]
    other = [[tmp_path / f"bright-{i}-{part}.pt" for part in range(12)] for i in range(7)]
    for image, paths in zip(images, other, strict=True):
        for part, path in enumerate(paths):
            tensors.write_part(path, 1000 - 3 * parts.cut(tensors.read(image), part).numpy())
    files = [[(image,), paths] for image, paths in zip(images, other, strict=True)]
    samples = PartDataset(
        files, range(7), parts, pipeline(TransformsConfig()), are_cut=[False, True]
    )
    alone = PartDataset(dataset.files, range(7), parts, pipeline(TransformsConfig()))
    assert len(samples) == len(alone)
    for index in (0, 40, 83):
        both = samples[index].image
        assert both.shape == (2, 2, 2, 2)
        assert torch.equal(both[:1], alone[index].image)
        assert torch.allclose(both[1:], 1 - alone[index].image, atol=1e-4)
