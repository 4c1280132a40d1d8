"""The simple fully convolutional network [1]_.

References
----------
.. [1] Peng et al., Accurate brain age prediction with lightweight deep neural networks, Medical
   Image Analysis 68, 2021, doi:10.1016/j.media.2020.101871
"""

from __future__ import annotations

from torch import nn

from clinicadl.config.modern_networks import FullyConvolutional
from clinicadl.networks.cnn import ConvolutionalNetwork
from clinicadl.networks.fits import check_input
from clinicadl.networks.pools import GlobalAverage, MaxPool

POOLED = (32, 64, 128, 256, 256)
"""Channels of the blocks that halve the image."""
LAST = 64
"""Channels of the block that looks at single voxels."""


def sfcn(
    settings: FullyConvolutional, input_shape: tuple[int, ...], n_outputs: int
) -> ConvolutionalNetwork:
    """Return an SFCN, whose global average takes images of any size.

    The paper's outputs are the probabilities of 40 bins of age; here they are those of the task.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 3 axes; 1 x 160 x 192 x 160 in the paper.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input has not 3 axes, or is too small.
    """
    check_input(settings, input_shape)
    layers: list[nn.Module] = []
    for given, made in zip((input_shape[0], *POOLED), POOLED, strict=False):
        layers += [nn.Conv3d(given, made, 3, padding=1), nn.BatchNorm3d(made), MaxPool(2)]
        layers.append(nn.ReLU())
    layers += [nn.Conv3d(POOLED[-1], LAST, 1), nn.BatchNorm3d(LAST), nn.ReLU(), GlobalAverage()]
    return ConvolutionalNetwork(
        nn.Sequential(*layers),
        # A convolution of kernel 1 on a map of one voxel is a linear layer.
        nn.Sequential(nn.Flatten(), nn.Dropout(settings.dropout), nn.Linear(LAST, n_outputs)),
    )
