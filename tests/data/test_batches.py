"""Samples and batches: pure, in order, whoever computes them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from clinicadl.config.transforms import TransformsConfig
from clinicadl.data import tensors
from clinicadl.data.batches import Loader
from clinicadl.data.dataset import ImageDataset
from clinicadl.transforms.pipeline import pipeline


@pytest.fixture
def dataset(tmp_path):
    volumes = np.random.default_rng(0).random((7, 4, 5, 6), dtype=np.float32)
    for number, voxels in enumerate(volumes):
        tensors.write(tmp_path / f"{number}.pt", voxels)
    paths = [tmp_path / f"{number}.pt" for number in range(7)]
    return ImageDataset(paths, list(range(10, 17)), pipeline(TransformsConfig()))


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
