"""Which inputs and tasks a network takes, from what its settings say: torch is not needed."""

from __future__ import annotations

from clinicadl.config.architecture import Architecture
from clinicadl.config.network import NETWORKS
from clinicadl.errors import UsageError, listed

_FORMS = {3: "X x Y x Z (three-dimensional)", 2: "X x Y (slices)"}


def check_fits(
    settings: Architecture, task_name: str, input_shape: tuple[int, ...], *, n_domains: int = 1
) -> None:
    """Refuse a network that cannot learn a task, or not from such images.

    Parameters
    ----------
    settings
        Those of the network.
    task_name
        Classification, regression or reconstruction; of other tasks the one that they are like.
    input_shape
        Channels, then the size along each axis of space.
    n_domains
        Kinds of images that are learnt from at once: two for domain adaptation.

    Raises
    ------
    UsageError
        It is for another task, number of axes, channels or domains, or the images are too small.
    """
    check_task(settings, task_name, n_domains=n_domains)
    check_input(settings, input_shape)


def check_task(settings: Architecture, task_name: str, *, n_domains: int = 1) -> None:
    """Refuse a network that cannot learn a task, whatever the images.

    Parameters
    ----------
    settings
        Those of the network.
    task_name
        Classification, regression or reconstruction; of other tasks the one that they are like.
    n_domains
        Kinds of images that are learnt from at once: two for domain adaptation.

    Raises
    ------
    UsageError
        It is for another task or number of domains.
    """
    if task_name not in settings.tasks:
        others = [name for name, row in NETWORKS.items() if task_name in row.tasks]
        raise UsageError(
            f"{settings.name} is not for {task_name}, but for {' and '.join(settings.tasks)}",
            where="--architecture", fix=f"For {task_name} there are {listed(others, most=30)}",
        )  # fmt: skip
    if settings.n_domains != n_domains:
        raise UsageError(
            f"{settings.name} learns from {_domains(settings.n_domains)}",
            where="--architecture", found=_domains(n_domains), fix="Choose another network",
        )  # fmt: skip


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
        The number of axes or of channels is another, or a size is too small or no multiple.
    """
    n_channels, *sizes = input_shape or (0,)
    if (
        len(sizes) not in settings.axes
        or n_channels < 1
        or settings.channels not in (None, n_channels)
        or min(sizes) < settings.smallest
        or any(size % settings.multiple_of for size in sizes)
    ):
        raise UsageError(
            f"{settings.name} cannot take this input",
            found=" x ".join(str(size) for size in input_shape) or "nothing",
            fix=f"It takes {_expected(settings)}",
        )


def _expected(settings: Architecture) -> str:
    channels = "channels" if settings.channels is None else f"{settings.channels} channels"
    forms = [f"{channels} x {_FORMS[n_axes]}" for n_axes in settings.axes]
    step = f" and a multiple of {settings.multiple_of}" if settings.multiple_of > 1 else ""
    return f"{' or '.join(forms)}, each size at least {settings.smallest}{step}"


def _domains(n: int) -> str:
    return "one kind of images" if n == 1 else f"{n} kinds of images at once"
