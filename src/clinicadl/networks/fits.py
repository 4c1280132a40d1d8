"""Which inputs a network takes, from what its settings say: torch is not needed."""

from __future__ import annotations

from clinicadl.config.architecture import Architecture
from clinicadl.errors import UsageError

_FORMS = {3: "X x Y x Z (three-dimensional)", 2: "X x Y (slices)"}


def check_input(settings: Architecture, input_shape: tuple[int, ...]) -> None:
    """Refuse an input that is no image for a network.

    Parameters
    ----------
    settings
        Those of the network.
    input_shape
        Channels, then the size along each axis of space.

    Raises
    ------
    UsageError
        The number of axes or of channels is another, or a size is too small.
    """
    n_channels, *sizes = input_shape or (0,)
    if (
        len(sizes) not in settings.axes
        or n_channels < 1
        or settings.channels not in (None, n_channels)
        or min(sizes) < settings.smallest
    ):
        raise UsageError(
            f"{settings.name} cannot take this input",
            found=" x ".join(str(size) for size in input_shape) or "nothing",
            fix=f"It takes {_expected(settings)}",
        )


def _expected(settings: Architecture) -> str:
    channels = "channels" if settings.channels is None else f"{settings.channels} channels"
    forms = [f"{channels} x {_FORMS[n_axes]}" for n_axes in settings.axes]
    return f"{' or '.join(forms)}, each size at least {settings.smallest}"
