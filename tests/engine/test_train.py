"""Training: what it writes, what it learns, what it refuses."""

import torch
from safetensors.torch import load_file

from clinicadl import train


def test_x(trained_once):
    assert (trained_once / "maps.json").exists()
