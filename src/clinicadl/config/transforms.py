"""What happens to an image between the file and the network."""

from __future__ import annotations

from clinicadl.config.base import Section, setting


class TransformsConfig(Section):
    """Intensities."""

    normalize: bool = setting(
        True, "Scale each sample to [0, 1] by its own extremes", off="unnormalize"
    )
