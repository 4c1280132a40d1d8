"""A vision transformer [1]_ on volumes and slices, in the small size of [2]_.

References
----------
.. [1] Dosovitskiy et al., An image is worth 16x16 words: transformers for image recognition at
   scale, ICLR 2021, arXiv:2010.11929
.. [2] Touvron et al., Training data-efficient image transformers and distillation through
   attention, ICML 2021, arXiv:2012.12877
"""

from __future__ import annotations

from math import ceil, prod

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation uses
from torch import Tensor, nn

from clinicadl.config.modern_networks import VisionTransformer
from clinicadl.networks.cnn import CONVOLUTIONS
from clinicadl.networks.fits import check_input

HIDDEN = 4
"""Width of the inner layer behind the attention, by that of a token."""
EPSILON = 1e-6
"""Of the layer normalisations."""
SPREAD = 0.02
"""Standard deviation of the first positions and of the first class token."""


class Attention(nn.Module):
    """Every token looks at all tokens.

    Parameters
    ----------
    width
        Numbers that describe a token.
    n_heads
        Ways of looking, which share the numbers.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens, shape (samples, tokens, width), after they looked."""
        of_heads = self.qkv(tokens).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*of_heads)
        looked: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return looked


class Layer(nn.Module):
    """Attention, then two linear layers; each adds to the tokens that it gets normalised.

    Parameters
    ----------
    width
        Numbers that describe a token.
    n_heads
        Heads of the attention.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attention = Attention(width, n_heads)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = nn.Sequential(
            nn.Linear(width, HIDDEN * width), nn.GELU(), nn.Linear(HIDDEN * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens of the layer, shape (samples, tokens, width)."""
        tokens = tokens + self.attention(self.norm1(tokens))
        added: Tensor = tokens + self.mlp(self.norm2(tokens))
        return added


class Transformer(nn.Module):
    """Cubes of the image become tokens; a class token collects what they say.

    The high side of an axis is padded with zeros to a multiple of ``token_size``, so that no voxel
    is left out.

    Parameters
    ----------
    input_shape
        Channels, then the size along the 2 or 3 axes.
    n_outputs
        Outputs of the last layer.
    token_size
        Edge of the cube that becomes one token.
    width
        Numbers that describe a token.
    n_layers
        Layers of attention.
    n_heads
        Heads of each.
    dropout
        Share of the class token dropped before the last layer, in training.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_outputs: int,
        *,
        token_size: int,
        width: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        n_channels, *sizes = input_shape
        n_tokens = prod(ceil(size / token_size) for size in sizes)
        self.token_size = token_size
        self.embedding = CONVOLUTIONS[len(sizes)](n_channels, width, token_size, stride=token_size)
        self.class_token = nn.Parameter(SPREAD * torch.randn(1, 1, width))
        self.positions = nn.Parameter(SPREAD * torch.randn(1, n_tokens + 1, width))
        self.layers = nn.Sequential(*(Layer(width, n_heads) for _ in range(n_layers)))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.fc = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, n_outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs, shape (samples, n_outputs).

        Parameters
        ----------
        images
            Shape (samples, *input_shape).
        """
        short = [-size % self.token_size for size in reversed(images.shape[2:])]
        padded = F.pad(images, [side for size in short for side in (0, size)])
        cubes = self.embedding(padded).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(images.shape[0], -1, -1), cubes], 1)
        outputs: Tensor = self.fc(self.norm(self.layers(tokens + self.positions)[:, 0]))
        return outputs


def vit(settings: VisionTransformer, input_shape: tuple[int, ...], n_outputs: int) -> Transformer:
    """Return a vision transformer.

    Parameters
    ----------
    settings
        Its parameters.
    input_shape
        Channels, then the size of the image along its 2 or 3 axes.
    n_outputs
        Outputs of the last layer, the number of classes for a classification.

    Raises
    ------
    UsageError
        The input has not 2 or 3 axes, or is empty.
    """
    check_input(settings, input_shape)
    return Transformer(
        input_shape,
        n_outputs,
        token_size=settings.token_size,
        width=settings.embedding_size,
        n_layers=settings.n_layers,
        n_heads=settings.n_heads,
        dropout=settings.dropout,
    )
