"""On what the network computes, and how memory is held."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from clinicadl.config.compute import Amp, ComputeConfig
from clinicadl.config.reproducibility import ReproducibilityConfig
from clinicadl.data.batches import Loader
from clinicadl.data.dataset import PartDataset
from clinicadl.engine.ranks import ALONE, Ranks, join
from clinicadl.errors import UsageError, listed

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
_COMPILERS = ("c++", "g++", "clang++", "cl")
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_WORKSPACES = {"memory": ":4096:8", "time": ":16:8"}
_OF_VOLUMES = 5
"""Axes of a batch of volumes, and of the weights of their convolutions; slices have one less."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4
_KEEP = {
    _M_MMAP_MAX: 0,  # large blocks come from the heap, too
    _M_TRIM_THRESHOLD: -1,  # what is freed at its end is never given back
    _M_TOP_PAD: 2**28,  # it grows in large steps: every block then finds a place that fits
}
_GLIBC_DEFAULT = {_M_MMAP_MAX: 65536, _M_TRIM_THRESHOLD: 128 * 1024, _M_TOP_PAD: 128 * 1024}
_LARGE = 2**20
"""Bytes of a block that a process which reads gives back at once."""
_GIVE_BACK = {**_GLIBC_DEFAULT, _M_MMAP_THRESHOLD: _LARGE, _M_TRIM_THRESHOLD: 2 * _LARGE}


@dataclass(frozen=True)
class Device:
    """A resolved device."""

    torch_device: torch.device
    channels_last: bool
    """Whether volumes are laid out channel by channel last: half the time on the CPU."""
    amp: Amp = "no"
    """Precision of what can be computed in half of it."""
    compiles: bool = False
    """Whether networks are translated by ``torch.compile``."""
    ranks: Ranks = ALONE
    """The processes that train together."""
    n_shards: int = 1
    """Processes that the weights are divided among; 1 where each holds them all."""

    def put(self, images: Tensor) -> Tensor:
        """Return a batch on the device, laid out as the network wants it."""
        moved = images.to(self.torch_device, non_blocking=True)
        if self.channels_last and moved.ndim == _OF_VOLUMES:
            return moved.contiguous(memory_format=torch.channels_last_3d)
        return moved

    def put_network(self, network: nn.Module) -> nn.Module:
        """Return the network on the device, its weights laid out as its activations will be."""
        network = network.to(self.torch_device)
        if self.compiles:
            # In place: the names of the weights stay as they are.
            network.compile()
        of_volumes = any(weight.ndim == _OF_VOLUMES for weight in network.parameters())
        if not (self.channels_last and of_volumes):
            return network
        # The stubs of ``to`` know the layouts of pictures, not those of volumes.
        return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which networks compute, in half precision where that was chosen."""
        if self.amp == "no":
            return nullcontext()
        return torch.autocast(self.torch_device.type, dtype=_HALF[self.amp])

    def scaler(self) -> GradScaler | None:
        """Return what keeps the gradients of losses within half precision, where that is needed."""
        return GradScaler(self.torch_device.type) if self.amp == "fp16" else None

    def loader(self, dataset: PartDataset, n_proc: int | None) -> Loader:
        """Return what reads a data set for the device, by as many processes as said."""
        on_gpu = self.torch_device.type == "cuda"
        n_readers = self.n_readers(n_proc)
        return Loader(dataset, n_proc=n_readers, pinned=on_gpu, begin=_hold_little)

    def n_readers(self, n_proc: int | None) -> int:
        """Return how many processes read ahead, where as many were asked for.

        Left to us, two read ahead for a GPU, and none for a CPU: a network that computes on all
        cores is only disturbed by processes that share them.
        """
        return 2 * (self.torch_device.type == "cuda") if n_proc is None else n_proc

    def to_record(self) -> dict[str, Any]:
        """Return what the bits of a result depend on."""
        name = "cpu"
        if self.torch_device.type == "cuda":
            name = torch.cuda.get_device_name(self.torch_device)
        return {
            "device": self.torch_device.type,
            "device_name": name,
            "threads": torch.get_num_threads(),
            "channels_last": self.channels_last,
            "amp": self.amp,
            "compile": self.compiles,
            "processes": self.ranks.world,
            "shards": self.n_shards,
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "matmul_precision": torch.get_float32_matmul_precision(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        }


def resolve(settings: ComputeConfig) -> Device:
    """Return the device that is meant: a GPU where there is one, unless said otherwise.

    Raises
    ------
    UsageError
        A GPU was asked for and there is none, or half precision without one: on the CPU torch's
        convolutions of volumes in bfloat16 give gradients that are no numbers, now and then. Or
        networks should be translated, and there is no compiler.
    """
    available = torch.cuda.is_available()
    if settings.gpu and not available:
        raise UsageError("There is no GPU that torch can use", where="--gpu", fix="Use --no-gpu")
    on_gpu = available if settings.gpu is None else settings.gpu
    if settings.amp != "no" and not on_gpu:
        raise UsageError(
            "Half precision needs a GPU", where="--amp", found=settings.amp,
            fix="Leave it out: on a CPU it is neither fast nor right",
        )  # fmt: skip
    if settings.compile and not on_gpu and not any(map(shutil.which, _COMPILERS)):
        raise UsageError(
            "There is no C++ compiler", where="--compile", found=f"none of {listed(_COMPILERS)}",
            fix="Install one, or leave it out",
        )  # fmt: skip
    ranks = join(on_gpu=on_gpu)
    last = settings.channels_last
    return Device(
        torch.device("cuda" if on_gpu else "cpu"),
        channels_last=not on_gpu if last is None else last,
        amp=settings.amp,
        compiles=settings.compile,
        ranks=ranks,
        n_shards=ranks.world if settings.strategy == "fsdp" else 1,
    )


@contextmanager
def deterministic(settings: ReproducibilityConfig) -> Iterator[None]:
    """Let torch refuse what gives other bits each time inside the block, if that was asked for.

    Matrix products on a GPU then get a workspace of a fixed size: 8 buffers of 4 MB where memory is
    spent, or of 16 kB where time is. It counts only if nothing was computed on the GPU before.
    """
    if not settings.deterministic:
        yield
        return
    os.environ[_WORKSPACE] = _WORKSPACES[settings.compensation]
    before = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Let torch compute with as many threads as said inside the block; as it is when None.

    Sums over another number of threads end in other last bits.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def memory(setting: str, device: Device) -> Iterator[None]:
    """Let freed memory be kept for the next step inside the block, where that is fast and possible.

    With glibc's own settings every large activation is mapped, zeroed by the kernel and unmapped
    again, which takes a third of a training step on the CPU. No bit of a result depends on this.
    """
    is_meant = setting == "fast" and device.torch_device.type == "cpu"
    libc = _glibc() if is_meant else None
    if libc is None:
        yield
        return
    _set(libc, _KEEP)
    try:
        yield
    finally:
        _set(libc, _GLIBC_DEFAULT)
        libc.malloc_trim(0)


def _hold_little(worker: int) -> None:
    """Let a process that reads hold little besides its batches.

    glibc keeps a large block that is freed for the next one of its size. But torch wants blocks on
    a boundary, and once something small lies behind the old one, the next does not fit there any
    more: a process that read images of 169x208x179 held fifty batches after a hundred and fifty.
    So such a block is given back at once.
    """
    # What the parent made is shared until somebody writes to it, as the garbage collector does when
    # it looks: 45 MB, and there is no garbage among it.
    gc.freeze()
    libc = _glibc()
    if libc is not None:
        _set(libc, _GIVE_BACK)


def _glibc() -> ctypes.CDLL | None:
    """Return the C library where it is glibc: others have another allocator."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") else None


def _set(libc: ctypes.CDLL, options: Mapping[int, int]) -> None:
    for option, value in options.items():
        libc.mallopt(option, value)
