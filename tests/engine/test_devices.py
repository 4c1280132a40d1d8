"""Devices and memory: settings of speed that leave what is learnt alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from clinicadl.config.compute import ComputeConfig
from clinicadl.config.mode import ImageMode
from clinicadl.config.network import Conv5FC3
from clinicadl.config.reproducibility import ReproducibilityConfig
from clinicadl.data.dataset import PartDataset
from clinicadl.data.parts import whole
from clinicadl.engine import devices
from clinicadl.engine.devices import Device, memory, resolve
from clinicadl.errors import UsageError
from clinicadl.networks.streams import seeded
from clinicadl.transforms.intensity import without_nan


def gradients(channels_last: bool) -> dict[str, torch.Tensor]:
    device = Device(torch.device("cpu"), channels_last=channels_last)
    with seeded(0, "test"):
        network = device.put_network(Conv5FC3().build((1, 33, 40, 35), 2))
        images = device.put(torch.rand(4, 1, 33, 40, 35))
    network(images).square().sum().backward()
    return {name: weight.grad for name, weight in network.named_parameters()}


def test_the_layout_changes_gradients_by_rounding_alone():
    plain, last = gradients(False), gradients(True)
    for name, gradient in plain.items():
        scale = float(gradient.abs().max()) + 1e-3
        torch.testing.assert_close(last[name] / scale, gradient / scale, atol=2e-3, rtol=0)


def test_the_cpu_is_there_and_says_what_bits_depend_on():
    device = resolve(ComputeConfig(gpu=False))
    found = device.to_record()
    assert (found["device"], found["threads"]) == ("cpu", torch.get_num_threads())


@pytest.mark.parametrize(
    ("device", "asked", "readers"),
    [("cpu", None, 0), ("cpu", 2, 2), ("cuda", None, 2), ("cuda", 0, 0), ("cuda", 4, 4)],
)
def test_nobody_reads_ahead_on_the_cpu_unless_asked(device, asked, readers):
    dataset = PartDataset((), (), whole(ImageMode(), (1, 2, 2, 2)), without_nan)
    loader = Device(torch.device(device), channels_last=False).loader(dataset, asked)
    assert loader.n_proc == readers


def test_slices_keep_their_layout():
    pictures = torch.rand(2, 1, 8, 8)
    assert torch.equal(resolve(ComputeConfig(gpu=False)).put(pictures), pictures)


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator's settings are those of glibc")
def test_kept_memory_costs_no_page_faults():
    """Counted, not timed: a large array made again touches no new page."""
    code = """
import resource, torch
from clinicadl.config.compute import ComputeConfig
from clinicadl.config.mode import ImageMode
from clinicadl.data.dataset import PartDataset
from clinicadl.data.parts import whole
from clinicadl.engine.devices import memory, resolve
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def again():
    before = faults()
    for _ in range(4):
        torch.ones(16_000_000)
    return faults() - before
with memory('lean', resolve(ComputeConfig(gpu=False))):
    lean = again()
with memory('fast', resolve(ComputeConfig(gpu=False))):
    for _ in range(5):
        again()  # the first touches of what is then kept, a few blocks to choose from
    fast = again()
print(lean, fast)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lean, fast = map(int, said.stdout.split())
    assert lean > 10_000
    assert fast < lean / 10


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator's settings are those of glibc")
@pytest.mark.parametrize("setting", ["lean", "fast"])
def test_a_process_that_reads_holds_a_few_batches_however_many_it_has_read(setting, tmp_path):
    """Counted in what it alone holds; where freed blocks are kept, it holds dozens."""
    code = """
import multiprocessing, os, sys
from pathlib import Path
from clinicadl.config.compute import ComputeConfig
from clinicadl.config.mode import ImageMode
from clinicadl.config.transforms import TransformsConfig
from clinicadl.data import tensors
from clinicadl.data.dataset import PartDataset
from clinicadl.data.parts import whole
from clinicadl.draws import generator
from clinicadl.engine.devices import memory, resolve
from clinicadl.transforms.pipeline import pipeline
def held(pid):
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(row.split()[1]) for row in rows if row.startswith("Private_Dirty"))
grid, paths = (120, 130, 125), [[[Path(sys.argv[1]) / f"{i}.pt"]] for i in range(4)]
for number, ((path,),) in enumerate(paths):
    tensors.write(path, generator(0, "held", sample=number).random(grid, dtype="float32"))
os.sync()
transform = pipeline(TransformsConfig(normalization="z-score"))
dataset = PartDataset(paths, [0] * 4, whole(ImageMode(), (1, *grid)), transform)
device = resolve(ComputeConfig(gpu=False))
with memory(sys.argv[2], device):
    loader = device.loader(dataset, 2)
    assert list(loader([])) == []
    pids = [process.pid for process in multiprocessing.active_children()]
    before = {pid: held(pid) for pid in pids}
    for batch in loader([[i % 4, (i + 1) % 4] for i in range(80)]):
        n_bytes = batch.images.nbytes
    print(max(held(pid) - before[pid] for pid in pids) / n_bytes)
"""
    command = [sys.executable, "-c", code, str(tmp_path), setting]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(said.stdout) < 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_is_used_where_there_is_one():
    assert resolve(ComputeConfig()).torch_device.type == "cuda"
    with memory("fast", resolve(ComputeConfig(gpu=True))):
        assert resolve(ComputeConfig(gpu=True)).put(torch.ones(1)).is_cuda


def test_what_gives_other_bits_each_time_is_refused_only_where_asked():
    images = torch.rand(1, 1, 4, 4, 4)
    pooled, where = torch.nn.functional.max_pool3d(images, 2, return_indices=True)

    def unpool():
        # One of the operations that torch has no deterministic way for.
        return torch.nn.functional.max_unpool3d(pooled, where, 2)

    with devices.deterministic(ReproducibilityConfig(deterministic=True, compensation="time")):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
        with pytest.raises(RuntimeError, match="deterministic"):
            unpool()
    unpool()
    with devices.deterministic(ReproducibilityConfig()):
        unpool()


@pytest.mark.parametrize(("asked", "last"), [(None, True), (False, False), (True, True)])
def test_volumes_are_laid_out_as_asked(asked, last):
    device = resolve(ComputeConfig(gpu=False, channels_last=asked))
    images = device.put(torch.rand(2, 3, 4, 5, 6))
    weights = device.put_network(torch.nn.Conv3d(3, 4, 3)).weight
    for tensor in (images, weights):
        assert tensor.is_contiguous(memory_format=torch.channels_last_3d) == last
    assert device.to_record()["channels_last"] == last


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"compile": True, "strategy": "fsdp"}, "does not go with fsdp"),
        ({"compile": True, "activation_checkpointing": True}, "choose one"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        ComputeConfig(**settings)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch's own
def test_a_translated_network_keeps_the_names_and_the_meaning_of_its_weights(monkeypatch):
    device = devices.resolve(ComputeConfig(gpu=False, compile=True))
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten())
    before = [*network.state_dict()]
    images = torch.rand(2, 1, 5, 5, 5)
    expected = network(images)
    translated = device.put_network(network)
    assert [*translated.state_dict()] == before
    assert torch.allclose(translated(device.put(images)), expected, atol=1e-5)
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="no C.. compiler"):
        devices.resolve(ComputeConfig(gpu=False, compile=True))
