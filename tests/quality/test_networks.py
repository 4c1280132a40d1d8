"""The published networks: names, sizes, files."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from clinicadl.errors import InvalidDataError, MissingInputError, UsageError
from clinicadl.quality import networks

COUNTS = {"darq": 12_027_172, "deep_qc": 12_026_146, "sq101": 724_418}
VIEWS = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) - 0.5


@pytest.fixture(scope="module")
def states():
    """Name -> random weights of a network, with statistics of norms that are not 0 and 1."""
    made = {}
    draw = torch.Generator().manual_seed(1)
    for name, judge in networks.JUDGES.items():
        state = judge.build().state_dict()
        for key, tensor in state.items():
            if key.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=draw))
            elif key.endswith("running_mean"):
                tensor.copy_(torch.randn(tensor.shape, generator=draw) / 10)
        made[name] = state
    return made


@pytest.mark.parametrize("name", networks.JUDGES)
def test_parameters_are_as_many_as_published(name):
    with torch.device("meta"):
        network = networks.JUDGES[name].build()
    assert sum(one.numel() for one in network.parameters()) == COUNTS[name]


def test_names_of_weights_are_those_of_the_published_files():
    with torch.device("meta"):
        names = {name: {*one.build().state_dict()} for name, one in networks.JUDGES.items()}
    assert names["darq"] - names["deep_qc"] == {"fc.weight", "fc.bias"}
    blocks = {f"layer{k}.{i}.conv{j}.weight" for k in (1, 2, 3, 4) for i in (0, 1) for j in (1, 2)}
    shortcuts = {f"layer{k}.0.downsample.{i}.weight" for k in (2, 3, 4) for i in (0, 1)}
    assert blocks | shortcuts | {"conv1.weight", "bn1.running_var"} <= names["deep_qc"]
    addon = {name.split(".")[1] for name in names["darq"] if name.startswith("addon.")}
    assert addon == {"0", "1", "3", "4", "6", "7", "9", "10", "13"}
    fires = {name.rsplit(".", 2)[0] for name in names["sq101"] if "squeeze" in name}
    assert fires == {f"features.{i}" for i in (3, 4, 6, 7, 9, 10, 11, 12)}
    assert {"features.0.bias", "classifier.1.weight", "features.3.expand3x3.bias"} <= names["sq101"]


def norm(maps, state, name):
    return functional.batch_norm(
        maps, state[f"{name}.running_mean"], state[f"{name}.running_var"],
        state[f"{name}.weight"], state[f"{name}.bias"],
    )  # fmt: skip


def residual_by_hand(state, views):
    """ResNet-18 and what follows it, as functions of the named weights."""
    trunks = []
    for view in range(3):
        maps = functional.conv2d(views[:, view : view + 1], state["conv1.weight"], None, 2, 3)
        maps = functional.max_pool2d(functional.relu(norm(maps, state, "bn1")), 3, 2, 1)
        for stage in (1, 2, 3, 4):
            for block in (0, 1):
                at = f"layer{stage}.{block}"
                stride = 2 if stage > 1 and block == 0 else 1
                kept = maps
                if f"{at}.downsample.0.weight" in state:
                    kept = functional.conv2d(maps, state[f"{at}.downsample.0.weight"], None, stride)
                    kept = norm(kept, state, f"{at}.downsample.1")
                maps = functional.conv2d(maps, state[f"{at}.conv1.weight"], None, stride, 1)
                maps = functional.relu(norm(maps, state, f"{at}.bn1"))
                maps = functional.conv2d(maps, state[f"{at}.conv2.weight"], None, 1, 1)
                maps = functional.relu(norm(maps, state, f"{at}.bn2") + kept)
        trunks.append(maps)
    maps = torch.cat(trunks, 1)
    for layer in (0, 3, 6, 9):
        maps = functional.conv2d(maps, state[f"addon.{layer}.weight"], state[f"addon.{layer}.bias"])
        maps = functional.relu(norm(maps, state, f"addon.{layer + 1}"))
    return functional.conv2d(maps, state["addon.13.weight"], state["addon.13.bias"])[..., 0, 0]


def squeeze_by_hand(state, views):
    trunks = []
    for view in range(3):
        maps = functional.conv2d(
            views[:, view : view + 1], state["features.0.weight"], state["features.0.bias"], 2
        )
        maps = functional.max_pool2d(functional.relu(maps), 3, 2, ceil_mode=True)
        for layer in (3, 4, None, 6, 7, None, 9, 10, 11, 12):
            if layer is None:
                maps = functional.max_pool2d(maps, 3, 2, ceil_mode=True)
                continue
            made = {}
            for name, margin in (("squeeze", 0), ("expand1x1", 0), ("expand3x3", 1)):
                at = f"features.{layer}.{name}"
                made[name] = functional.relu(functional.conv2d(
                    made.get("squeeze", maps), state[f"{at}.weight"], state[f"{at}.bias"],
                    padding=margin,
                ))  # fmt: skip
            maps = torch.cat([made["expand1x1"], made["expand3x3"]], 1)
        assert maps.shape[1:] == (512, 13, 13)
        trunks.append(maps)
    maps = functional.conv2d(
        torch.cat(trunks, 1), state["classifier.1.weight"], state["classifier.1.bias"]
    )
    return functional.relu(maps).mean(dim=(2, 3))


@pytest.mark.parametrize("name", networks.JUDGES)
def test_logits_are_those_of_the_layers_by_hand(name, states, tmp_path, caplog):
    save_file({k: v.contiguous() for k, v in states[name].items()}, tmp_path / "some.safetensors")
    network = networks.read(name, tmp_path / "some.safetensors")
    by_hand = squeeze_by_hand if name == "sq101" else residual_by_hand
    with torch.inference_mode():
        wanted, logits = by_hand(states[name], VIEWS), network(VIEWS)
    assert logits.shape == (2, 2)
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-5)


def test_a_file_that_torch_saved_is_read_and_named_as_unknown(states, tmp_path, caplog):
    path = tmp_path / "sq101_darq.pth"
    torch.save(states["sq101"], path)
    network = networks.read("sq101", path)
    assert not network.training
    assert hashlib.sha256(path.read_bytes()).hexdigest() in caplog.text
    assert networks.JUDGES["sq101"].sha256 in caplog.text
    weight = network.state_dict()["features.12.expand3x3.weight"]
    assert torch.equal(weight, states["sq101"]["features.12.expand3x3.weight"])


def test_a_published_file_is_known_by_its_checksum(states, tmp_path, caplog, monkeypatch):
    path = tmp_path / "any.pth"
    torch.save(states["sq101"], path)
    known = hashlib.sha256(path.read_bytes()).hexdigest()
    rows = networks.JUDGES
    monkeypatch.setitem(rows, "sq101", rows["sq101"]._replace(sha256=known))
    networks.read("sq101", path)
    assert "not the file that was published" not in caplog.text
    with pytest.raises(UsageError, match="published weights of sq101.*Say --network sq101"):
        networks.read("darq", path)


@pytest.mark.parametrize("name", networks.JUDGES)
def test_without_weights_the_file_and_its_checksum_are_named(name):
    with pytest.raises(UsageError) as error:
        networks.read(name, None)
    assert networks.JUDGES[name].sha256 in str(error.value)
    assert f"/files/data/models/dl/qc/{networks.JUDGES[name].file}" in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("features.0.bias"), "lacks features.0.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "has too extra"),
        (
            lambda state: state.update({"features.0.bias": torch.zeros(3)}),
            "another shape of features.0.bias",
        ),
    ],
    ids=["missing", "surplus", "shape"],
)
def test_other_weights_are_refused(change, said, states, tmp_path):
    state = dict(states["sq101"])
    change(state)
    torch.save(state, tmp_path / "some.pth")
    with pytest.raises(InvalidDataError, match=said):
        networks.read("sq101", tmp_path / "some.pth")


def test_absent_weights_are_missing(tmp_path):
    with pytest.raises(MissingInputError):
        networks.read("darq", tmp_path / "absent.pth")


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return print, ("code ran",)


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(InvalidDataError, match="asks to run code"):
        networks.read("sq101", tmp_path / "evil.pth")
    assert "code ran" not in capsys.readouterr().out
