"""Random changes of a sample, against the arithmetic of others."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats

from clinicadl.config.transforms import AUGMENTATIONS, TransformsConfig
from clinicadl.draws import generator
from clinicadl.errors import UsageError
from clinicadl.layouts import images
from clinicadl.transforms import augment
from clinicadl.transforms.pipeline import check_augmentation

SHAPE = (1, 24, 28, 22)


def head(*shape: int) -> np.ndarray:
    """Return a smooth blob with margins of zeros."""
    voxels = np.zeros(shape, np.float32)
    inner = tuple(slice(n // 4, n - n // 4) for n in shape[1:])
    voxels[(slice(None), *inner)] = generator(0, "head").random(voxels[(slice(None), *inner)].shape)
    return ndimage.gaussian_filter(voxels, (0, *(1,) * (len(shape) - 1)))


def numbers(name: str, n: int = 400, shape: tuple[int, ...] = SHAPE, **settings: object) -> list:
    """Return the numbers of many draws."""
    row = AUGMENTATIONS[name](**settings)
    return [row.build(generator(0, "draw", sample=i), shape).keywords for i in range(n)]


def column(drawn: list, key: str) -> np.ndarray:
    return np.array([one[key] for one in drawn], dtype=float)


def looks_even(values: np.ndarray, low: float, high: float) -> bool:
    return bool(stats.kstest(values.ravel(), stats.uniform(low, high - low).cdf).pvalue > 1e-3)


def test_noise_is_gaussian_of_the_drawn_deviation():
    image = torch.full((2, 40, 40, 40), 3.0)
    field = (augment.noise(image, std=0.05, seed=11) - image).double().numpy().ravel()
    # float32 around 3 rounds by 1e-7; the rest is five standard errors of a sample of this size.
    assert abs(field.std() - 0.05) < 5 * 0.05 / np.sqrt(2 * field.size) + 1e-6
    assert abs(field.mean()) < 5 * 0.05 / np.sqrt(field.size) + 1e-6
    assert stats.kstest(field[::16], stats.norm(0, 0.05).cdf).pvalue > 1e-3
    assert not torch.equal(
        augment.noise(image, std=0.05, seed=12), augment.noise(image, std=0.05, seed=11)
    )


def test_the_deviation_of_noise_is_drawn_evenly_below_its_bound():
    assert looks_even(column(numbers("Noise"), "std"), 0, 0.1)


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_gamma_is_the_power_of_numpy_with_the_sign_kept(low):
    image = generator(0, "gamma").uniform(low, 1, SHAPE).astype(np.float32)
    found = augment.gamma(torch.from_numpy(image), power=1.27).numpy()
    expected = np.sign(image) * np.power(np.abs(image.astype(np.float64)), 1.27)
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # float32


def test_the_logarithm_of_gamma_is_drawn_evenly():
    assert looks_even(np.log(column(numbers("Gamma"), "power")), -0.3, 0.3)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2), (0, 1, 2)])
def test_flip_is_that_of_numpy(axes):
    image = head(2, 5, 6, 7)
    found = augment.flip(torch.from_numpy(image), axes=axes).numpy()
    assert np.array_equal(found, np.flip(image, [axis + 1 for axis in axes]))


@given(st.tuples(*[st.integers(-9, 9)] * 3))
def test_a_shift_moves_what_stays_inside_and_lets_zeros_enter(shifts):
    image = 1 + np.arange(4 * 5 * 6, dtype=np.float32).reshape(1, 4, 5, 6)
    expected = np.zeros_like(image)
    for place in np.ndindex(4, 5, 6):
        target = np.add(place, shifts)
        if (target >= 0).all() and (target < (4, 5, 6)).all():
            expected[(0, *target)] = image[(0, *place)]
    found = augment.crop_pad(torch.from_numpy(image), shifts=shifts)
    assert np.array_equal(found.numpy(), expected)


def test_shifts_are_drawn_from_the_published_range():
    shifts = column(numbers("CropPad"), "shifts")
    assert set(shifts.ravel()) == set(range(-10, 10))
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.2


def test_one_rectangle_of_the_drawn_area_is_erased():
    image = torch.ones(2, 6, 40, 50)
    for one in numbers("Erasing", shape=(2, 6, 40, 50)):
        erased = augment.erasing(image, **one)
        rows, columns = one["size"]
        assert (erased == 0).sum() == 2 * 6 * rows * columns
        assert torch.equal(erased, erased[:1, :1].expand_as(erased))
        # Edges are rounded to whole voxels.
        assert 0.015 < rows * columns / 2000 < 0.345
        assert 0.2 < rows / columns < 4
        assert one["start"][0] + rows <= 40
        assert one["start"][1] + columns <= 50


def test_an_area_that_never_fits_erases_nothing():
    (one,) = numbers("Erasing", 1, area=(1.0, 1.0), ratio=(1.0, 1.0))
    assert one["size"] == (0, 0)


def filtered(line: np.ndarray, std: float) -> np.ndarray:
    """Return a line filtered by a Gaussian cut at four deviations, its ends mirrored."""
    radius = int(4 * std + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / std) ** 2)
    padded = np.pad(line, radius, mode="symmetric")
    return np.convolve(padded, weights / weights.sum(), mode="valid")


@pytest.mark.parametrize("stds", [(1.0, 1.0, 1.0), (0.4, 1.7, 0.9)])
def test_blur_is_a_separable_gaussian_and_mixes_no_channels(stds):
    image = generator(0, "blur").random((2, 14, 15, 16))
    expected = image
    for axis, std in enumerate(stds):
        expected = np.apply_along_axis(filtered, axis + 1, expected, std)
    found = augment.blur(torch.from_numpy(image.astype(np.float32)), stds=stds)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)  # float32


def test_smoothing_is_the_same_along_all_axes_and_blur_is_not():
    smoothing, blur = (column(numbers(name), "stds") for name in ("Smoothing", "RandomBlur"))
    assert (smoothing == smoothing[:, :1]).all()
    assert looks_even(smoothing[:, 0], 0, 1)
    assert looks_even(blur, 0, 2)
    assert abs(np.corrcoef(blur.T)[0, 1]) < 0.2


def test_a_swap_exchanges_voxels_and_loses_none():
    image = np.arange(20 * 18 * 16, dtype=np.float32).reshape(1, 20, 18, 16)
    (one,) = numbers("RandomSwap", 1, image.shape, patch_size=4, iterations=30)
    expected = image.copy()
    for first, second in one["pairs"]:
        for step in np.ndindex(4, 4, 4):
            here, there = (0, *np.add(first, step)), (0, *np.add(second, step))
            expected[here], expected[there] = expected[there], expected[here]
    found = augment.swap(torch.from_numpy(image), **one).numpy()
    assert np.array_equal(found, expected)
    assert np.array_equal(np.sort(found, axis=None), image.ravel())


@pytest.mark.parametrize("shape", [(1, 30, 15, 15), (1, 60, 40, 31), (3, 40, 33)])
def test_the_two_places_of_a_swap_are_apart_and_inside(shape):
    (one,) = numbers("RandomSwap", 1, shape, iterations=200)
    pairs = np.array(one["pairs"])
    assert pairs.shape == (200, 2, len(shape) - 1)
    assert (np.abs(pairs[:, 0] - pairs[:, 1]) >= 15).any(axis=1).all()
    assert (pairs >= 0).all()
    assert (pairs <= np.array(shape[1:]) - 15).all()
    assert (pairs.max(axis=(0, 1)) == np.array(shape[1:]) - 15).all()


@pytest.mark.parametrize("shape", [(2, 9, 8, 7), (1, 9, 1, 5), (3, 8, 11)])
def test_a_bias_field_is_the_exponential_of_its_polynomial(shape):
    (one,) = numbers("BiasField", 1, shape, order=3)
    coefficients = one["coefficients"]
    axes = np.meshgrid(
        *(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape[1:]), indexing="ij"
    )
    exponent = np.zeros(shape[1:])
    for powers in np.ndindex(*coefficients.shape):
        assert (coefficients[powers] == 0) == (sum(powers) > 3)
        exponent += coefficients[powers] * np.prod([a**n for a, n in zip(axes, powers)], axis=0)  # noqa: B905
    image = np.full(shape, 2, np.float32)
    found = augment.bias_field(torch.from_numpy(image), **one).numpy()
    np.testing.assert_allclose(found, 2 * np.exp(exponent)[None].repeat(shape[0], 0), rtol=1e-5)


def test_a_bias_field_is_that_of_torchio():
    torchio = pytest.importorskip("torchio", reason='pip install "clinicadl[augment]"')
    (one,) = numbers("BiasField", 1)
    used = np.add.reduce(np.indices((4, 4, 4))) <= 3
    sample = torchio.Subject(image=torchio.ScalarImage(tensor=torch.ones(SHAPE)))
    transform = torchio.BiasField(list(one["coefficients"][used]), 3)
    expected = transform.apply_transform(sample)["image"].data
    found = augment.bias_field(torch.ones(SHAPE), **one)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)  # float32


def test_coefficients_are_drawn_evenly_on_both_sides():
    values = column(numbers("BiasField", 40), "coefficients")
    assert looks_even(values[values != 0], -0.5, 0.5)


class TestThroughTorchIO:
    """What TorchIO does with our numbers, against NumPy and SciPy."""

    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("torchio", reason='pip install "clinicadl[augment]"')

    @pytest.mark.parametrize(
        "case",
        [
            {"degrees": (0, 0, 12.0)},
            {"degrees": (12.0, 0, 0)},
            {"scales": (1.2, 0.9, 1.0)},
            {"translation": (1.5, -2.0, 0.5)},
        ],
        ids=str,
    )
    def test_affine_is_the_resampling_of_scipy(self, case):
        image = head(*SHAPE)
        numbers = {"scales": (1, 1, 1), "degrees": (0, 0, 0), "translation": (0, 0, 0), **case}
        found = augment.affine(torch.from_numpy(image), **numbers).numpy()
        x, _, z = np.radians(numbers["degrees"])
        turn_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
        turn_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
        forward = np.diag(numbers["scales"]) @ turn_x @ turn_z
        centre = (np.array(SHAPE[1:]) - 1) / 2
        back = np.linalg.inv(forward)
        offset = centre - back @ (centre + np.array(numbers["translation"]))
        expected = ndimage.affine_transform(image[0], back, offset, order=1)
        np.testing.assert_allclose(found[0], expected, atol=1e-5)  # float32
        assert np.abs(found - image).max() > 0.05

    def test_ghosts_are_weaker_planes_of_the_spectrum(self):
        image = head(*SHAPE)
        found = augment.ghosting(torch.from_numpy(image), n_ghosts=5, axis=1, intensity=0.7)
        spectrum = np.fft.fftshift(np.fft.fftn(image[0].astype(np.float64)))
        middle = spectrum[:, 14].copy()
        spectrum[:, ::5] *= 0.3
        spectrum[:, 14] = middle
        expected = np.fft.ifftn(np.fft.ifftshift(spectrum)).real
        np.testing.assert_allclose(found.numpy()[0], expected, atol=1e-5)  # float32

    def test_a_spike_is_a_bright_point_of_the_spectrum(self):
        image = head(*SHAPE)
        found = augment.spike(
            torch.from_numpy(image), places=np.array([[0.3, 0.6, 0.9]]), intensity=1.5
        )
        spectrum = np.fft.fftshift(np.fft.fftn(image[0].astype(np.float64)))
        spectrum[int(0.3 * 24), int(0.6 * 28), int(0.9 * 22)] += 1.5 * np.abs(spectrum).max()
        expected = np.fft.ifftn(np.fft.ifftshift(spectrum)).real
        np.testing.assert_allclose(found.numpy()[0], expected, atol=1e-5)  # float32

    def test_motion_joins_the_spectra_of_before_and_after(self):
        image = head(*SHAPE)
        found = augment.motion(
            torch.from_numpy(image),
            degrees=np.zeros((1, 3)),
            translation=np.array([[3.0, 0, 0]]),
            times=np.array([0.6]),
        )
        before = np.fft.fftshift(np.fft.fftn(image[0].astype(np.float64)))
        after = np.fft.fftshift(np.fft.fftn(np.roll(image[0], 3, axis=0).astype(np.float64)))
        # The last axis is acquired in time: 60 % of its planes before the move.
        spectrum = np.concatenate([before[..., :13], after[..., 13:]], axis=-1)
        expected = np.fft.ifftn(np.fft.ifftshift(spectrum)).real
        # float32, and a resampling whose places are rounded.
        np.testing.assert_allclose(found.numpy()[0], expected, atol=1e-4)

    def test_motion_draws_the_published_ranges(self):
        drawn = numbers("Motion")
        for key in ("degrees", "translation"):
            assert looks_even(column(drawn, key), 2, 4)
        times = column(drawn, "times")
        assert looks_even(times[:, 0], 0.7 / 3, 1.3 / 3)
        assert looks_even(times[:, 1], 1.7 / 3, 2.3 / 3)

    def test_ghosts_and_spikes_draw_the_published_ranges(self):
        ghosts, spikes = numbers("Ghosting"), numbers("Spike")
        assert set(column(ghosts, "n_ghosts")) == set(range(4, 11))
        assert set(column(ghosts, "axis")) == {0, 1, 2}
        assert looks_even(column(ghosts, "intensity"), 0.5, 1)
        assert looks_even(column(spikes, "places"), 0, 1)
        assert looks_even(column(spikes, "intensity"), 1, 3)

    def test_affine_draws_evenly_on_both_sides(self):
        drawn = numbers("Affine", translation=5)
        for key, low, high in (("scales", 0.9, 1.1), ("degrees", -10, 10), ("translation", -5, 5)):
            assert looks_even(column(drawn, key), low, high)

    def test_an_even_elastic_move_is_a_shift(self):
        image = head(*SHAPE)
        moves = np.zeros((7, 7, 7, 3))
        moves[..., 2] = 2.0  # the third axis points up for everybody
        found = augment.elastic(torch.from_numpy(image), moves=moves, longest=(0, 0, 2.0))
        expected = ndimage.shift(image[0], (0, 0, -2), order=1)
        np.testing.assert_allclose(found.numpy()[0], expected, atol=1e-5)  # float32

    @pytest.mark.parametrize("shape", [SHAPE, (1, 12, 40, 2)])
    def test_an_elastic_deformation_keeps_the_borders_and_does_not_fold(self, shape):
        for one in numbers("Elastic", 20, shape, max_displacement=50):
            moves = one["moves"]
            assert not np.delete(moves, slice(2, 5), axis=0).any()
            assert not np.delete(moves, slice(2, 5), axis=1).any()
            assert not np.delete(moves, slice(2, 5), axis=2).any()
            bound = (np.array(shape[1:]) - 1) / 4 / 2
            assert (np.abs(moves).max(axis=(0, 1, 2)) <= bound).all()
            # A warning that the space may fold would be an error here.
            augment.elastic(torch.from_numpy(head(*shape)), **one)


def test_a_ball_is_darkened_by_the_share_that_was_drawn():
    image = torch.full((2, 30, 32, 28), 5.0)
    drawn = {"share": 0.3, "centre": (14.0, 16.0, 13.0), "radius": 7.0}
    found = augment.hypometabolism(image, sigma=0.0, **drawn)
    grid = np.stack(np.meshgrid(*map(np.arange, image.shape[1:]), indexing="ij"), -1)
    inside = np.linalg.norm(grid - drawn["centre"], axis=-1) <= 7
    np.testing.assert_allclose(found, 5 * np.where(inside, 0.7, 1.0)[None].repeat(2, 0), rtol=1e-6)
    soft = augment.hypometabolism(image, sigma=1.5, **drawn)[0]
    expected = 5 * ndimage.gaussian_filter(np.where(inside, 0.7, 1.0), 1.5)
    np.testing.assert_allclose(soft, expected, rtol=1e-6)


def test_a_mask_takes_the_place_of_the_ball(tmp_path):
    inside = np.zeros((9, 10, 8), np.uint8)
    inside[2:5, 3:7, 1:4] = 1
    path = tmp_path / "mask.nii.gz"
    images.write(path, inside, affine=np.eye(4))
    row = AUGMENTATIONS["Hypometabolism"](mask=path, sigma=0, degree=(0.2, 0.2))
    image = torch.ones(1, 9, 10, 8)
    found = row.build(generator(0, "mask"), (1, 9, 10, 8))(image)
    np.testing.assert_allclose(found[0], np.where(inside == 1, 0.8, 1), rtol=1e-6)
    with pytest.raises(UsageError, match=r"9x10x8 for 9x10.*no mask"):
        check_augmentation(TransformsConfig(augmentation=(row,)), (1, 9, 10))


@pytest.mark.parametrize("shape", [(1, 41, 43, 45), (1, 61, 63)])
@pytest.mark.parametrize("volume", [-0.8, -0.3, 0.4, 0.8])
def test_a_ball_shrinks_without_folds_and_leaves_the_rest(shape, volume):
    centre, radius = tuple(size // 2 for size in shape[1:]), 16.0
    # An image of places shows where each voxel came from.
    places = torch.from_numpy(np.indices(shape[1:]).astype(np.float32))
    source = augment.atrophy(places, volume=volume, centre=centre, radius=radius).numpy()
    slopes = np.stack([np.stack(np.gradient(axis), -1) for axis in source], -1)
    backward = np.linalg.det(slopes)
    assert backward.min() > 0
    # The new volume by the old one, at the centre; central differences over one voxel.
    assert 1 / backward[centre] == pytest.approx(1 - volume, rel=0.05)
    distance = np.linalg.norm(np.indices(shape[1:]).T - centre, axis=-1).T
    np.testing.assert_array_equal(source[:, distance >= radius], places[:, distance >= radius])


def test_balls_are_drawn_in_the_middle_of_the_sample():
    shape = (1, 40, 60, 50)
    for seed in range(50):
        drawn = AUGMENTATIONS["Atrophy"]().build(generator(seed, "ball"), shape).keywords
        assert all(
            s / 4 <= at <= 3 * s / 4 for at, s in zip(drawn["centre"], shape[1:], strict=True)
        )
        assert 0.15 * 40 <= drawn["radius"] <= 0.3 * 40
        assert 0.1 <= drawn["volume"] <= 0.4
