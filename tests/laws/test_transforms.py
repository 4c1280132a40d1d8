"""What every transform of the tables does."""

from __future__ import annotations

import random
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binom

from clinicadl.config.transforms import AUGMENTATIONS, NORMALIZATIONS, TransformsConfig
from clinicadl.draws import generator
from clinicadl.transforms.pipeline import Augment, augmentation, check_augmentation, drawn, pipeline

PAGE = Path(__file__).resolve().parents[2] / "docs/concepts/transforms.md"
VOLUMES = [(1, 24, 28, 22), (2, 17, 16, 20)]
SLICES = [(1, 26, 31), (3, 30, 28)]
LARGE = (1, 44, 40, 36)
"""Enough voxels for the threads of torch to share them."""
FITTING = {"RandomSwap": {"patch_size": 5}}
"""Parameters that go with grids as small as these."""
NEUTRAL = {
    "Noise": {"std": 0},
    "Erasing": {"area": (0, 0)},
    "CropPad": {"shift": 0},
    "Smoothing": {"sigma": 0},
    "RandomBlur": {"std": (0, 0)},
    "DownSampling": {"factor": (1, 1)},
    "Gamma": {"log_gamma": 0},
    "Hypometabolism": {"degree": (0, 0)},
    "Atrophy": {"volume": (0, 0)},
    "Flip": {"axes": ()},
    "RandomSwap": {"iterations": 0},
    "BiasField": {"coefficients": 0},
    "Motion": {"degrees": (0, 0), "translation": (0, 0)},
    "Ghosting": {"intensity": (0, 0)},
    "Spike": {"intensity": (0, 0)},
    "Affine": {"scales": 0, "degrees": 0, "translation": 0},
    "Elastic": {"max_displacement": 0},
}
"""Parameters that change nothing; a row without them fails."""
LAW = pytest.mark.parametrize(
    ("name", "shape"),
    [
        (name, shape)
        for name, row in AUGMENTATIONS.items()
        for shape in (VOLUMES if row.volumes_only else VOLUMES + SLICES)
    ],
    ids=str,
)
EACH = pytest.mark.parametrize("name", AUGMENTATIONS)


def augment_of(name: str, *, seed: int = 0, **settings: object) -> Augment:
    package = AUGMENTATIONS[name].package
    if package is not None and find_spec(package) is None:
        pytest.skip(f'{package} is not installed: pip install "clinicadl[augment]"')
    row = {"name": name, "p": 1.0, **FITTING.get(name, {}), **settings}
    found = augmentation(TransformsConfig(augmentation=(row,)), seed=seed)
    assert found is not None
    return found


def sample_of(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(generator(0, "sample").random(shape, dtype=np.float32))


@LAW
def test_the_shape_and_type_are_kept_and_the_sample_is_left_alone(name, shape):
    image = sample_of(shape)
    before = image.clone()
    changed = augment_of(name)(image, 0, 0)
    assert changed.shape == image.shape
    assert changed.dtype == image.dtype
    assert changed.isfinite().all()
    assert torch.equal(image, before)
    assert changed.data_ptr() != image.data_ptr()


@LAW
def test_the_same_key_gives_the_same_bits(name, shape):
    image = sample_of(shape)
    one, same = (augment_of(name, seed=3)(image, 5, 8) for _ in range(2))
    assert torch.equal(one, same)


@EACH
def test_another_epoch_sample_or_seed_gives_something_else(name):
    # A flip has one way to happen: what is drawn is whether it does.
    settings = {"p": 0.5} if name == "Flip" else {}
    image = sample_of((1, 24, 28, 22))

    def results(keys):
        return [augment_of(name, seed=seed, **settings)(image, *key) for seed, *key in keys]

    for keys in (
        [(0, epoch, 0) for epoch in range(12)],
        [(0, 0, sample) for sample in range(12)],
        [(seed, 0, 0) for seed in range(12)],
    ):
        first, *others = results(keys)
        assert not all(torch.equal(first, other) for other in others)


@EACH
def test_the_neutral_parameters_change_nothing(name):
    image = sample_of((1, 24, 28, 22))
    changed = augment_of(name, **NEUTRAL[name])(image, 0, 0)
    # There and back through the spectrum, or through a resampling, in float32.
    torch.testing.assert_close(changed, image, rtol=0, atol=1e-6)


@EACH
def test_the_default_parameters_change_something(name):
    image = sample_of((1, 40, 44, 36))
    assert not torch.equal(augment_of(name)(image, 0, 1), image)


@EACH
def test_the_number_of_threads_changes_no_bit(name):
    image = sample_of(LARGE)
    before = torch.get_num_threads()
    try:
        results = []
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            results.append(augment_of(name)(image, 1, 2))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


@EACH
def test_no_shared_generator_is_read_or_moved(name):
    image = sample_of((1, 24, 28, 22))
    change = augment_of(name)
    results = []
    for state in range(2):
        torch.manual_seed(state)
        np.random.seed(state)
        random.seed(state)
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        results.append(change(image, 0, 0))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])
        assert random.getstate() == before[2]
    assert torch.equal(*results)


@EACH
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_it_happens_as_often_as_p_says(name, p):
    n = 300
    row = AUGMENTATIONS[name](p=p, **FITTING.get(name, {}))
    settings = TransformsConfig(augmentation=(row,))
    happened = sum(
        len(drawn(settings.augmentation, (1, 24, 28, 22), seed=0, sample=sample))
        for sample in range(n)
    )
    low, high = binom.interval(1 - 1e-6, n, p) if 0 < p < 1 else (n * p, n * p)
    assert low <= happened <= high


@LAW
def test_what_fits_is_not_refused(name, shape):
    augment_of(name)  # skips where the package is absent
    row = {"name": name, **FITTING.get(name, {})}
    check_augmentation(TransformsConfig(augmentation=(row,)), shape)


@pytest.mark.parametrize("only_nonzero", [True, False])
@pytest.mark.parametrize("shape", VOLUMES + SLICES, ids=str)
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_normalisation_ignores_the_scale_and_keeps_the_order(name, shape, only_nonzero):
    image = sample_of(shape) + 0.1
    scale = pipeline(TransformsConfig(normalization={"name": name, "only_nonzero": only_nonzero}))
    found = scale(image)
    # Rounding of float32.
    torch.testing.assert_close(scale(image * 512), found, rtol=0, atol=2e-6)
    order = image.flatten().argsort()
    assert (found.flatten()[order].diff() >= 0).all()
    assert found.shape == image.shape


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_the_number_of_threads_changes_no_bit_of_a_normalisation(name):
    image = sample_of(LARGE)
    before = torch.get_num_threads()
    try:
        results = []
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            results.append(pipeline(TransformsConfig(normalization=name))(image))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


@pytest.mark.parametrize("rows", [AUGMENTATIONS, NORMALIZATIONS])
def test_each_row_has_its_name_and_leads_somewhere(rows):
    for name, row in rows.items():
        assert row().name == name
        module, _, function = row.builds.partition(":")
        assert callable(getattr(import_module(module), function))


def line_of(name: str) -> str:
    """Return what the documentation says of an augmentation."""
    row = AUGMENTATIONS[name]
    fields = {key: field for key, field in row.model_fields.items() if key != "name"}
    shown = ", ".join(
        f"`{key}` {list(field.default) if isinstance(field.default, tuple) else field.default}"
        for key, field in fields.items()
    )
    does = " ".join((row.__doc__ or "").split()).rstrip(".")
    takes = "volumes" if row.volumes_only else "all"
    return f"| `{name}` | {does} | {shown} | {takes} | {row.package or ''} |".replace("|  |", "| |")


def test_the_documentation_lists_the_augmentations_with_their_parameters():
    rows = re.findall(r"^\| `[A-Z]\w+` \|.*$", PAGE.read_text(), re.MULTILINE)
    assert rows == [line_of(name) for name in AUGMENTATIONS]
