"""How it is told what an output of a network rests on: rows of a table."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import model_validator

from clinicadl.config.base import Choice, setting

ATTRIBUTIONS_GROUP = "clinicadl.attributions"
"""Entry points under which other packages declare methods."""


class Attribution(Choice):
    """A method: its parameters, and what it needs.

    ``build(seed)`` returns a function ``(scored, images, rows) -> maps``: ``scored`` is a network
    in evaluation mode, from images to the one number that is explained of each; ``rows`` are those
    of the table of samples, by which whatever is drawn is keyed. The maps have the shape of the
    images, or one channel.
    """

    package: ClassVar[str | None] = None
    """Package that it needs, which comes with the extra ``interpret``."""
    reference: ClassVar[str]
    """Where it was published."""
    needs: ClassVar[str | None] = None
    """``module:function`` that refuses a network for which it means nothing; none: it takes any.

    The function gets the settings, the network on torch's meta device, and the shape of a sample.
    """


class Captum(Attribution):
    """A method of the package Captum; its settings are arguments of its ``attribute``."""

    builds: ClassVar[str] = "clinicadl.attribution.methods:of_captum"
    package: ClassVar[str | None] = "captum"
    algorithm: ClassVar[str]
    """Name of the class in ``captum.attr``."""
    in_turn: ClassVar[bool] = False
    """Whether copies of a batch pass the network one after another, so that they fit in memory.

    The class then takes ``internal_batch_size``.
    """

    def arguments(self) -> dict[str, Any]:
        """Return what ``attribute`` is called with."""
        return self.model_dump(exclude={"name"})


class Gradients(Attribution):
    """How the output changes with each voxel: its gradient, signed (saliency)."""

    builds: ClassVar[str] = "clinicadl.attribution.methods:gradients"
    reference: ClassVar[str] = "Simonyan 2014, arXiv:1312.6034"
    name: Literal["gradients"] = "gradients"


class GradCam(Attribution):
    """The maps of a convolutional layer, weighed by the mean gradient of each, signed."""

    builds: ClassVar[str] = "clinicadl.attribution.methods:grad_cam"
    reference: ClassVar[str] = "Selvaraju 2017, arXiv:1610.02391"
    needs: ClassVar[str | None] = "clinicadl.attribution.methods:check_grad_cam"
    name: Literal["grad-cam"] = "grad-cam"
    level: int | None = setting(
        None,
        "Modules of the convolutions in front of the maps, each counted (default: all but a last "
        "mean over all places)",
        flag="level_grad_cam",
        ge=1,
    )


class IntegratedGradients(Captum):
    """The gradients on the way from an image of zeros, times the image: they sum to the output."""

    algorithm: ClassVar[str] = "IntegratedGradients"
    in_turn: ClassVar[bool] = True
    reference: ClassVar[str] = "Sundararajan 2017, arXiv:1703.01365"
    name: Literal["integrated-gradients"] = "integrated-gradients"
    n_steps: int = setting(50, "Points on the way, which pass the network in turn", ge=1)


class InputTimesGradient(Captum):
    """The gradients times the image."""

    algorithm: ClassVar[str] = "InputXGradient"
    reference: ClassVar[str] = "Shrikumar 2016, arXiv:1605.01713"
    name: Literal["input-x-gradient"] = "input-x-gradient"


class Occlusion(Attribution):
    """How much the output falls when a box that slides over the image is made 0."""

    builds: ClassVar[str] = "clinicadl.attribution.methods:occlusion"
    package: ClassVar[str | None] = "captum"
    reference: ClassVar[str] = "Zeiler 2014, arXiv:1311.2901"
    name: Literal["occlusion"] = "occlusion"
    window: int = setting(
        32, "Edge of the box, or the size of the image where that is less", unit="voxels", ge=1
    )
    stride: int = setting(16, "Distance between neighbouring boxes", unit="voxels", ge=1)

    @model_validator(mode="after")
    def _leaves_nothing_out(self) -> Occlusion:
        if self.stride > self.window:
            raise ValueError(
                f"a stride of {self.stride} leaves voxels out between boxes of {self.window}"
            )
        return self


class GuidedBackprop(Captum):
    """The gradients, with what is negative stopped at each ReLU."""

    algorithm: ClassVar[str] = "GuidedBackprop"
    reference: ClassVar[str] = "Springenberg 2015, arXiv:1412.6806"
    needs: ClassVar[str | None] = "clinicadl.attribution.methods:check_guided"
    name: Literal["guided-backprop"] = "guided-backprop"


class SmoothGrad(Attribution):
    """The mean of the gradients of noisy copies of the image."""

    builds: ClassVar[str] = "clinicadl.attribution.methods:smooth_grad"
    reference: ClassVar[str] = "Smilkov 2017, arXiv:1706.03825"
    name: Literal["smoothgrad"] = "smoothgrad"
    n_samples: int = setting(25, "Noisy copies of each image", ge=1)
    noise: float = setting(
        0.15, "Standard deviation of the noise, as a share of the range of the image", gt=0,
        allow_inf_nan=False,
    )  # fmt: skip


ATTRIBUTIONS: dict[str, type[Attribution]] = {
    "gradients": Gradients,
    "grad-cam": GradCam,
    "integrated-gradients": IntegratedGradients,
    "input-x-gradient": InputTimesGradient,
    "occlusion": Occlusion,
    "guided-backprop": GuidedBackprop,
    "smoothgrad": SmoothGrad,
}
