"""What strangers may have made of shared models is refused, in one sentence, and leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import stat
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from clinicadl import PushConfig, pull_models, push_models
from clinicadl.errors import InvalidDataError, MissingInputError
from clinicadl.hub import strangers
from clinicadl.hub.strangers import Entry
from clinicadl.networks import weights

DESCRIPTION = "hub.json"


@pytest.fixture(scope="module")
def shared_once(trained_once, tmp_path_factory):
    target = tmp_path_factory.mktemp("hub") / "shared"
    push_models(PushConfig(domain=False), trained_once, str(target))
    return target


@pytest.fixture
def shared(shared_once, tmp_path):
    return shutil.copytree(shared_once, tmp_path / "shared")


def model_of(shared: Path) -> Path:
    return min(shared.rglob("*.safetensors"))


def described(shared: Path) -> dict:
    return json.loads((shared / DESCRIPTION).read_text())


def describe(shared: Path, change) -> None:
    """Change the description, and let it describe the files that are there."""
    content = described(shared)
    change(content)
    for name in content.get("files", {}):
        path = shared / name
        if path.is_file():
            digest = sha256(path.read_bytes()).hexdigest()
            content["files"][name] = {"sha256": digest, "n_bytes": path.stat().st_size}
    (shared / DESCRIPTION).write_text(json.dumps(content))


def with_weights(shared: Path, change) -> None:
    """Write other weights, which the description then describes."""
    path = model_of(shared)
    stored = weights.read(path)
    state = {name: value.clone() for name, value in stored.state.items()}
    facts = dict(stored.facts)
    change(state, facts)
    weights.write(path, state, facts)
    describe(shared, lambda content: None)


def with_header(shared: Path, header: bytes, size: int | None = None, rest: bytes = b"") -> None:
    given = len(header) if size is None else size
    model_of(shared).write_bytes(given.to_bytes(8, "little") + header + rest)
    describe(shared, lambda content: None)


def nan(state, facts):
    next(iter(state.values())).view(-1)[0] = float("nan")


def infinite(state, facts):
    next(iter(state.values())).view(-1)[0] = float("inf")


def reshaped(state, facts):
    name = min(state)
    state[name] = state[name].reshape(1, *state[name].shape)


def of_another_type(state, facts):
    name = min(state)
    state[name] = state[name].double()


def as_pickle(shared: Path) -> None:
    torch.save({"model": torch.zeros(3)}, model_of(shared))
    describe(shared, lambda content: None)


def as_foreign(shared: Path) -> None:
    state = {name: value.numpy() for name, value in weights.read(model_of(shared)).state.items()}
    save_file(state, model_of(shared))
    describe(shared, lambda content: None)


def truncated(shared: Path) -> None:
    path = model_of(shared)
    path.write_bytes(path.read_bytes()[:-4])
    describe(shared, lambda content: None)


def longer(shared: Path) -> None:
    path = model_of(shared)
    path.write_bytes(path.read_bytes() + bytes(4))
    describe(shared, lambda content: None)


def swapped(shared: Path) -> None:
    path = model_of(shared)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def renamed(shared: Path, new: str) -> None:
    model_of(shared).rename(model_of(shared).with_name(new))


def link(shared: Path) -> None:
    path = model_of(shared)
    kept = path.rename(shared.parent / "outside")
    path.symlink_to(kept)


def fifo(shared: Path) -> None:
    os.mkfifo(shared / "pipe")


def keep(text: str):
    return lambda shared: (shared / DESCRIPTION).write_text(text)


def change(change_it):
    return lambda shared: describe(shared, change_it)


def set_in(*steps, value):
    def change_it(content):
        for step in steps[:-1]:
            content = content[step]
        content[steps[-1]] = value

    return change(change_it)


BAD = {
    "nan": (lambda shared: with_weights(shared, nan), "no number"),
    "infinite": (lambda shared: with_weights(shared, infinite), "no number"),
    "shape": (lambda shared: with_weights(shared, reshaped), "not those of the network"),
    "type": (lambda shared: with_weights(shared, of_another_type), "not those of the network"),
    "missing tensor": (
        lambda shared: with_weights(shared, lambda state, facts: state.pop(min(state))),
        "not those of the network",
    ),
    "another tensor": (
        lambda shared: with_weights(shared, lambda state, facts: state.update(x=torch.ones(1))),
        "not those of the network",
    ),
    "no epoch": (
        lambda shared: with_weights(shared, lambda state, facts: facts.update(epoch="x")),
        "of which epoch",
    ),
    "pickle": (as_pickle, "no safetensors"),
    "other program": (as_foreign, "another program"),
    "truncated": (truncated, "one after another"),
    "longer": (longer, "one after another"),
    "another bit": (swapped, "not the one that is described"),
    "empty": (lambda shared: with_header(shared, b""), "no safetensors|no JSON"),
    "huge header": (lambda shared: with_header(shared, b"{}", size=2**60), "header is too large"),
    "header beyond": (lambda shared: with_header(shared, b"{}", size=3), "header is too large"),
    "deep header": (lambda shared: with_header(shared, b'{"a":' * 90 + b"1" + b"}" * 90), "deep"),
    "header is a list": (lambda shared: with_header(shared, b"[]"), "no object"),
    "offsets": (
        lambda shared: with_header(
            shared, b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}'
        ),
        "means nothing",
    ),
    "link": (link, "a link"),
    "pipe": (fifo, "a link, or what is no file"),
    "unknown file": (lambda shared: (shared / "run.py").write_text(""), "not those that are desc"),
    "pickle beside": (lambda shared: (shared / "model.pkl").write_bytes(b"x"), "not those that"),
    "missing file": (lambda shared: model_of(shared).unlink(), "not those that are described"),
    "no card": (lambda shared: (shared / "README.md").unlink(), "not those that are described"),
    "two names": (
        lambda shared: shutil.copy(shared / "README.md", shared / "readme.md"), "mean one file",
    ),
    "odd name": (lambda shared: (shared / "a b").write_text(""), "out of its folder, or is none"),
    "other name": (lambda shared: renamed(shared, "model.pt"), "not those that are described"),
    "no json": (keep("{"), "no JSON"),
    "NaN": (keep('{"format": NaN}'), "no JSON.*NaN"),
    "twice": (keep('{"format": 1, "format": 2}'), "twice"),
    "deep": (keep("[" * 100_000), "too deep"),
    "bytes": (lambda shared: (shared / DESCRIPTION).write_bytes(b"\xff\xfe"), "no JSON"),
    "huge": (
        lambda shared: (shared / DESCRIPTION).write_bytes(
            b" " * (strangers.MOST_BYTES_OF_TEXT + 1)
        ),
        "too large",
    ),
    "format": (set_in("format", value="clinicadl-hub-99"), "format is not known"),
    "no models": (set_in("models", value=[]), "means nothing"),
    "nobody seen": (set_in("hidden", value=[]), "means nothing"),
    "who was seen is not said": (set_in("hidden", 0, "who", value="x"), "Nobody says whom"),
    "dear hash": (set_in("hidden", 0, "hash", value="scrypt-1073741824-8-1"), "means nothing"),
    "no hash": (set_in("hidden", 0, "seen", "keys", 0, value="sub-01"), "means nothing"),
    "unknown key": (set_in("run", value="rm"), "means nothing"),
    "path as metric": (set_in("models", 0, "metric", value="../../x"), "means nothing"),
    "split below 0": (set_in("models", 0, "split", value=-1), "means nothing"),
    "another split": (set_in("models", 0, "split", value=7), "not that of the models"),
    "file elsewhere": (
        set_in("files", "../x", value={"sha256": "0" * 64, "n_bytes": 1}),
        "not that of the models",
    ),
    "network": (set_in("record", "config", "network", "name", value="none"), "means nothing"),
    "shape of a sample": (
        set_in("record", "input_shape", value=[1, -5, 3, 2]), "shape of a sample",
    ),
    "too small a sample": (
        set_in("record", "input_shape", value=[1, 8, 8]), "no such network|not those",
    ),
    "a place": (
        set_in("record", "config", "data", "caps_directory", value="/of/somebody"),
        "names places or trackers",
    ),
    "a tracker": (
        set_in("record", "config", "tracking", "track_exp",
               value={"name": "mlflow", "mlflow_uri": "http://of.a.stranger"}),
        "names places or trackers",
    ),
    "a table": (set_in("record", "tables", value={"/etc/passwd": "x"}), "names places"),
    "a sign of terminals": (set_in("about", value="\x1b[2J"), "signs that cannot be seen"),
    "pulled before": (
        set_in("record", "pulled", value={"origin": "x", "sha256": "x", "date": "x"}), "before",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_is_refused_in_one_sentence_and_leaves_nothing(shared, tmp_path, name):
    spoil, match = BAD[name]
    spoil(shared)
    home = tmp_path / "mine"
    home.mkdir()
    with pytest.raises((InvalidDataError, MissingInputError), match=f"(?s){match}") as refused:
        pull_models(str(shared), home / "pulled")
    assert refused.value.exit_code == 65
    assert len(str(refused.value).splitlines()) == 1
    assert list(home.iterdir()) == []


def test_the_command_ends_with_65(shared, tmp_path, invoke):
    swapped(shared)
    code, _, err = invoke("hub", "pull", shared, tmp_path / "pulled")
    assert code == 65
    assert err.startswith("clinicadl: A file is not the one that is described")
    assert err.splitlines()[1:] == ["More: clinicadl explain invalid-data"]


def packed(shared: Path, path: Path, spoil=lambda archive: None, **how) -> Path:
    with zipfile.ZipFile(path, "w", **how) as archive:
        for one in sorted(shared.rglob("*")):
            if one.is_file():
                archive.write(one, one.relative_to(shared).as_posix())
        spoil(archive)
    return path


def a_link(archive):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc/passwd")


def a_bomb(archive):
    archive.writestr("zeros", bytes(50_000_000), compress_type=zipfile.ZIP_DEFLATED)


def of_another_packing(archive):
    archive.writestr("x", b"x", compress_type=zipfile.ZIP_BZIP2)


ARCHIVES = {
    "a link": (a_link, "a link"),
    "a bomb": (a_bomb, "unfolds to far more"),
    "another packing": (of_another_packing, "packed in a way"),
    "up": (lambda archive: archive.writestr("../../evil", "x"), "out of its folder"),
    "root": (lambda archive: archive.writestr("/etc/evil", "x"), "out of its folder"),
    "drive": (lambda archive: archive.writestr("C:\\evil", "x"), "out of its folder"),
    "backslash": (lambda archive: archive.writestr("..\\evil", "x"), "out of its folder"),
    "case": (lambda archive: archive.writestr("HUB.JSON", "x"), "mean one file"),
    "unknown": (lambda archive: archive.writestr("setup.py", "x"), "not those that are described"),
    "file in a file": (
        lambda archive: archive.writestr("README.md/x", "x"), "A file lies in a file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_bad_archive_is_refused_and_leaves_nothing(shared_once, tmp_path, name):
    spoil, match = ARCHIVES[name]
    path = packed(shared_once, tmp_path / "bad.zip", spoil)
    with pytest.raises(InvalidDataError, match=match):
        pull_models(str(path), tmp_path / "pulled")
    assert [one.name for one in tmp_path.iterdir()] == ["bad.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_twice_in_an_archive_is_refused(shared_once, tmp_path):
    path = packed(
        shared_once, tmp_path / "bad.zip", lambda archive: archive.writestr("hub.json", "{}")
    )
    with pytest.raises(InvalidDataError, match="mean one file"):
        pull_models(str(path), tmp_path / "pulled")


def test_an_archive_that_lies_of_its_sizes_is_refused(shared_once, tmp_path):
    """The table of contents says that the card is shorter than it is."""
    path = packed(shared_once, tmp_path / "bad.zip")
    content = path.read_bytes()
    size = (shared_once / "README.md").stat().st_size.to_bytes(4, "little")
    at = content.rindex(b"README.md") - 46 + 24
    assert content[at : at + 4] == size
    path.write_bytes(content[:at] + (1).to_bytes(4, "little") + content[at + 4 :])
    with pytest.raises(InvalidDataError, match="no zip, or is damaged|CRC"):
        pull_models(str(path), tmp_path / "pulled")
    assert [one.name for one in tmp_path.iterdir()] == ["bad.zip"]


@pytest.mark.parametrize("cut", [10, 200, 5000])
def test_a_truncated_archive_is_refused(shared_once, tmp_path, cut):
    path = packed(shared_once, tmp_path / "bad.zip")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InvalidDataError, match="no zip, or is damaged"):
        pull_models(str(path), tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_an_archive_that_somebody_packed_again_is_read(shared_once, tmp_path):
    path = packed(shared_once, tmp_path / "good.zip", compression=zipfile.ZIP_DEFLATED)
    maps = pull_models(str(path), tmp_path / "pulled")
    assert maps.record.pulled is not None
    assert maps.record.pulled.origin == str(path)


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(InvalidDataError, match="no zip"):
        pull_models(str(tmp_path / "x.zip"), tmp_path / "pulled")
    with pytest.raises(MissingInputError, match="does not exist"):
        pull_models(str(tmp_path / "none"), tmp_path / "pulled")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match="no shared models"):
        pull_models(str(tmp_path / "empty"), tmp_path / "pulled")


@given(st.text(min_size=1, max_size=40))
def test_a_name_that_is_let_in_stays_in_its_folder(name):
    try:
        strangers.refuse_names([Entry(name, 1)], "here")
    except InvalidDataError:
        return
    home = Path("/of/mine")
    assert Path(os.path.normpath(home / name)) == home / name
    assert (home / name).is_relative_to(home)
    assert name.isascii()
    assert not {"\\", ":", "\0"} & set(name)


@given(
    st.lists(
        st.sampled_from(["a", "A", "b", "c.d", "..", ".", "", "e f", "ß", "x" * 9]), min_size=1
    )
)  # fmt: skip
def test_paths_of_odd_pieces_are_let_in_only_if_they_are_plain(pieces):
    name = "/".join(pieces)
    is_plain = all(piece in ("a", "A", "b", "c.d", "x" * 9) for piece in pieces)
    if is_plain:
        strangers.refuse_names([Entry(name, 1)], "here")
    else:
        with pytest.raises(InvalidDataError):
            strangers.refuse_names([Entry(name, 1)], "here")


def test_there_is_a_limit_to_how_many_and_how_large_files_are():
    many = [Entry(f"f{number}", 1) for number in range(strangers.MOST_FILES + 1)]
    with pytest.raises(InvalidDataError, match="too many files"):
        strangers.refuse_names(many, "here")
    with pytest.raises(InvalidDataError, match="too large"):
        strangers.refuse_names([Entry("a", strangers.MOST_BYTES), Entry("b", 1)], "here")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda some: (
            st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=3), some, max_size=3)
        ),
        max_leaves=20,
    )
)  # fmt: skip
def test_any_json_object_is_read_as_it_is(content):
    text = json.dumps({"x": content}).encode()
    assert strangers.parsed(text, "here") == {"x": content}


def test_brackets_in_strings_are_no_depth():
    text = json.dumps({"x": '["{' * 500, "y": "\\"}).encode()
    assert strangers.parsed(text, "here")["x"] == '["{' * 500
