"""What happens to a sample between the file and the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, FiniteFloat, field_validator, model_validator

from clinicadl.config.base import Choice, Section, from_table, setting


def _only_nonzero() -> Any:
    return setting(
        False, "Measure and change the voxels that are not 0, and leave the background at 0"
    )


class MinMax(Choice):
    """To [0, 1] by the extremes of the sample."""

    builds: ClassVar[str] = "clinicadl.transforms.intensity:min_max_of"

    name: Literal["min-max"] = "min-max"
    only_nonzero: bool = _only_nonzero()


class ZScore(Choice):
    """To mean 0 and standard deviation 1."""

    builds: ClassVar[str] = "clinicadl.transforms.intensity:z_score_of"

    name: Literal["z-score"] = "z-score"
    only_nonzero: bool = _only_nonzero()


class Percentile(Choice):
    """Clipped at two percentiles, which become 0 and 1."""

    builds: ClassVar[str] = "clinicadl.transforms.intensity:percentile_of"

    name: Literal["percentile"] = "percentile"
    low_percentile: float = setting(
        1.0, "Percentile that becomes 0, as all below it", unit="%", ge=0, lt=100
    )
    high_percentile: float = setting(
        99.0, "Percentile that becomes 1, as all above it", unit="%", gt=0, le=100
    )
    only_nonzero: bool = _only_nonzero()

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Percentile:
        if self.low_percentile >= self.high_percentile:
            raise ValueError("low_percentile must be below high_percentile")
        return self


NORMALIZATIONS: dict[str, type[Choice]] = {
    "min-max": MinMax, "z-score": ZScore, "percentile": Percentile,
}  # fmt: skip


def _in_order(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError(f"the range begins at {span[0]:g}, above its end at {span[1]:g}")
    return span


NotNegative = Annotated[FiniteFloat, Field(ge=0)]
Span = Annotated[tuple[NotNegative, NotNegative], AfterValidator(_in_order)]
"""From, to: a number between the two is drawn."""
Shares = Annotated[
    tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]],
    AfterValidator(_in_order),
]
Ratios = Annotated[
    tuple[Annotated[FiniteFloat, Field(gt=0)], Annotated[FiniteFloat, Field(gt=0)]],
    AfterValidator(_in_order),
]
Counts = Annotated[
    tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], AfterValidator(_in_order)
]

VolumeLoss = Annotated[float, Field(ge=-0.8, le=0.8)]
"""Beyond 0.8 a slice would fold."""


class Augmentation(Choice):
    """A random change of training samples.

    ``build(generator, shape)`` draws, and returns a function of the sample that draws no more. The
    sample comes as float32 of shape ``shape``, is left as it is, and the result has that shape.
    """

    volumes_only: ClassVar[bool] = False
    """Whether slices are refused."""
    package: ClassVar[str | None] = None
    """The package of the extra ``augment`` that it needs."""

    p: float = setting(1.0, "Probability that a sample is changed", ge=0, le=1)


class Noise(Augmentation):
    """Gaussian noise, drawn anew for every voxel."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_noise"

    name: Literal["Noise"] = "Noise"
    std: NotNegative = setting(0.1, "Largest standard deviation; one between 0 and it is drawn")


class Erasing(Augmentation):
    """A rectangle of the last two axes, through the others, becomes 0."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_erasing"

    name: Literal["Erasing"] = "Erasing"
    p: float = setting(0.5, "Probability that a sample is changed", ge=0, le=1)
    area: Shares = setting((0.02, 0.33), "Share of the plane that is erased")
    ratio: Ratios = setting((0.3, 3.3), "Height of the rectangle by its width")


class CropPad(Augmentation):
    """A shift along every axis; zeros enter."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_crop_pad"

    name: Literal["CropPad"] = "CropPad"
    shift: int = setting(10, "Shifts are drawn from -shift to shift - 1", unit="voxels", ge=0)


class Smoothing(Augmentation):
    """Gaussian filter, the same along every axis."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_smoothing"

    name: Literal["Smoothing"] = "Smoothing"
    sigma: NotNegative = setting(
        1.0, "Largest standard deviation; one between 0 and it is drawn", unit="voxels"
    )


class RandomBlur(Augmentation):
    """Gaussian filter, another along every axis."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_blur"

    name: Literal["RandomBlur"] = "RandomBlur"
    std: Span = setting((0.0, 2.0), "Standard deviation along each axis", unit="voxels")


class DownSampling(Augmentation):
    """Thick slices along an axis that is drawn."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_down_sampling"

    name: Literal["DownSampling"] = "DownSampling"
    factor: Counts = setting((2, 4), "Thickness of the slices", unit="voxels")


class Gamma(Augmentation):
    """Intensities to a power; those below 0 keep their sign."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_gamma"

    name: Literal["Gamma"] = "Gamma"
    log_gamma: NotNegative = setting(
        0.3, "Largest logarithm of the power; one between - and + it is drawn"
    )


def _radius() -> Any:
    return setting((0.15, 0.3), "Radius of the ball by the shortest axis of the sample")


class Hypometabolism(Augmentation):
    """Intensities lowered in a mask, or in a ball that is drawn, with a smooth edge."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_hypometabolism"

    name: Literal["Hypometabolism"] = "Hypometabolism"
    degree: Shares = setting((0.1, 0.4), "Share of the intensity that is lost")
    sigma: NotNegative = setting(2.0, "Standard deviation of the smooth edge", unit="voxels")
    radius: Shares = _radius()
    mask: Path | None = setting(
        None, "Mask on the grid of the samples, taken instead of a ball: what is not 0"
    )


class Atrophy(Augmentation):
    """A ball that is drawn shrinks, or grows, and draws what is around it along."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_atrophy"

    name: Literal["Atrophy"] = "Atrophy"
    volume: Annotated[tuple[VolumeLoss, VolumeLoss], AfterValidator(_in_order)] = setting(
        (0.1, 0.4), "Share of the volume that is lost at the centre; below 0 it grows"
    )
    radius: Shares = _radius()


class Flip(Augmentation):
    """The sample turned round."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_flip"

    name: Literal["Flip"] = "Flip"
    p: float = setting(0.5, "Probability that a sample is changed", ge=0, le=1)
    axes: tuple[Literal[0, 1, 2], ...] = setting(
        (0,), "Axes that are turned, all together; 0 is left-right in a volume"
    )


class RandomSwap(Augmentation):
    """Pairs of cubes, or of squares of a slice, change places."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_swap"

    name: Literal["RandomSwap"] = "RandomSwap"
    patch_size: int = setting(15, "Edge of what changes places", unit="voxels", ge=1)
    iterations: int = setting(100, "Pairs, one after the other", ge=0)


class BiasField(Augmentation):
    """Intensities times the exponential of a smooth polynomial."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_bias_field"

    name: Literal["BiasField"] = "BiasField"
    coefficients: NotNegative = setting(
        0.5, "Largest coefficient; each is drawn between - and + it"
    )
    order: int = setting(3, "Order of the polynomial", ge=0, le=10)


class Motion(Augmentation):
    """The participant moves while the image is acquired."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_motion"
    volumes_only: ClassVar[bool] = True
    package: ClassVar[str | None] = "torchio"

    name: Literal["Motion"] = "Motion"
    degrees: Span = setting((2.0, 4.0), "Rotation about each axis", unit="degrees")
    translation: Span = setting((2.0, 4.0), "Shift along each axis", unit="voxels")
    n_moves: int = setting(2, "Moves", ge=1)


class Ghosting(Augmentation):
    """Copies of the head along an axis that is drawn."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_ghosting"
    volumes_only: ClassVar[bool] = True
    package: ClassVar[str | None] = "torchio"

    name: Literal["Ghosting"] = "Ghosting"
    n_ghosts: Counts = setting((4, 10), "Number of copies")
    intensity: Shares = setting((0.5, 1.0), "Strength of the copies")


class Spike(Augmentation):
    """Stripes: single points of the spectrum are too bright."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_spike"
    volumes_only: ClassVar[bool] = True
    package: ClassVar[str | None] = "torchio"

    name: Literal["Spike"] = "Spike"
    n_spikes: int = setting(1, "Number of points", ge=1)
    intensity: Span = setting((1.0, 3.0), "Brightness, in units of the largest of the spectrum")


class Affine(Augmentation):
    """Scaling, rotation and shift about the centre; the darkest value enters."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_affine"
    volumes_only: ClassVar[bool] = True
    package: ClassVar[str | None] = "torchio"

    name: Literal["Affine"] = "Affine"
    scales: float = setting(
        0.1, "Largest scaling; each axis gets a factor between 1 - it and 1 + it", ge=0, lt=1
    )
    degrees: NotNegative = setting(
        10.0, "Largest rotation about each axis, either way", unit="degrees"
    )
    translation: NotNegative = setting(
        0.0, "Largest shift along each axis, either way", unit="voxels"
    )


class Elastic(Augmentation):
    """A smooth deformation that leaves the borders in place and never folds."""

    builds: ClassVar[str] = "clinicadl.transforms.augment:draw_elastic"
    volumes_only: ClassVar[bool] = True
    package: ClassVar[str | None] = "torchio"

    name: Literal["Elastic"] = "Elastic"
    n_control_points: int = setting(
        7, "Points along each axis that are moved; the outer two at each end stay", ge=5, le=50
    )
    max_displacement: NotNegative = setting(
        7.5, "Largest move of a point along an axis; at most half of their distance", unit="voxels"
    )


AUGMENTATIONS: dict[str, type[Choice]] = {
    "Noise": Noise,
    "Erasing": Erasing,
    "CropPad": CropPad,
    "Smoothing": Smoothing,
    "RandomBlur": RandomBlur,
    "DownSampling": DownSampling,
    "Gamma": Gamma,
    "Hypometabolism": Hypometabolism,
    "Atrophy": Atrophy,
    "Flip": Flip,
    "RandomSwap": RandomSwap,
    "BiasField": BiasField,
    "Motion": Motion,
    "Ghosting": Ghosting,
    "Spike": Spike,
    "Affine": Affine,
    "Elastic": Elastic,
}


class TransformsConfig(Section):
    """Intensities, size and random changes."""

    normalize: bool = setting(
        True, "Normalise the intensities of each sample (see normalization)", off="unnormalize"
    )
    normalization: Annotated[
        Choice, from_table(NORMALIZATIONS, "clinicadl.normalizations", default="min-max")
    ] = setting(MinMax(), "How intensities are normalised")
    size_reduction: bool = setting(False, "Keep every n-th voxel of images of 169 x 208 x 179")
    size_reduction_factor: int = setting(2, "The n of size_reduction", ge=2, le=5)
    augmentation: tuple[
        Annotated[Augmentation, from_table(AUGMENTATIONS, "clinicadl.augmentations")], ...
    ] = setting(
        (),
        f"Random changes of training samples, in this order: {', '.join(AUGMENTATIONS)}",
        flag="data_augmentation",
        short="da",
    )

    @field_validator("augmentation", mode="before")
    @classmethod
    def _without_none(cls, value: Any) -> Any:
        """Leave out the published name of no augmentation."""
        if not isinstance(value, list | tuple):
            return value
        return tuple(one for one in value if one != "None")

    @model_validator(mode="after")
    def _nothing_is_said_in_vain(self) -> TransformsConfig:
        if not self.normalize and self.normalization != MinMax():
            raise ValueError("normalization means nothing without normalize")
        if not self.size_reduction and self.size_reduction_factor != 2:
            raise ValueError("size_reduction_factor means nothing without size_reduction")
        return self
