"""A network of convolutions and of layers that see the whole map."""

from __future__ import annotations

from torch import Tensor, nn

CONVOLUTIONS: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
"""Axes of space -> convolution."""
BATCH_NORMS: dict[int, type[nn.BatchNorm2d | nn.BatchNorm3d]] = {
    2: nn.BatchNorm2d, 3: nn.BatchNorm3d,
}  # fmt: skip
"""Axes of space -> batch normalisation."""


class ConvolutionalNetwork(nn.Module):
    """Convolutions, then layers that see the whole map.

    The names of both are those of the published program, so that its weights fit.

    Parameters
    ----------
    convolutions
        From images to maps.
    fc
        From maps to outputs.
    """

    def __init__(self, convolutions: nn.Sequential, fc: nn.Sequential) -> None:
        super().__init__()
        self.convolutions = convolutions
        self.fc = fc

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs, shape (samples, n_outputs).

        Parameters
        ----------
        images
            Shape (samples, channels, x, y) or (samples, channels, x, y, z).
        """
        outputs: Tensor = self.fc(self.convolutions(images))
        return outputs
