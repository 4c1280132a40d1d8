"""Whole files or none, names that stay below their folder, hashes, locks."""

import errno
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.errors import InvalidDataError, MissingInputError, OutputError
from clinicadl.layouts import files
from clinicadl.layouts.files import TEMPORARY, whole_file, whole_folder

NOBODY = 65534


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@contextmanager
def unprivileged():
    """Work as somebody who may not do everything, where the tests are run by root."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder():
    """A folder that anybody can reach; pytest's own are closed to other users."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_has_its_name_only_when_it_is_whole(tmp_path, durable):
    path = tmp_path / "new" / "folder" / "a.txt"
    with whole_file(path, durable=durable) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert names(path.parent) == [temporary.name]
        assert temporary.name.startswith(TEMPORARY)
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, OutputError])
@pytest.mark.parametrize("old", [None, "old"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, failure, old):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)
    with pytest.raises(failure), whole_file(path) as temporary:
        temporary.write_text("half")
        raise failure("reason")
    assert names(tmp_path) == (["a.txt"] if old else [])
    assert not old or path.read_text() == old


def test_a_kill_inside_a_write_leaves_the_old_file_and_a_leftover_that_is_known(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from clinicadl.layouts.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert run(code, path).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert [name for name in names(tmp_path) if not name.startswith(TEMPORARY)] == ["a.txt"]
    files.write_text(path, "new")
    assert path.read_text() == "new"


def test_a_full_disk_is_said_to_be_one_and_costs_nothing(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}")
    # The device that is always full stands where the temporary file will be written.
    files._temporary(tmp_path / "a.json").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left on device.*Free some space") as refusal:
        files.write_json(path, {"key": "value"})
    assert str(path) in str(refusal.value)
    assert names(tmp_path) == ["a.json"]
    assert path.read_text() == "{}"


def test_a_file_where_a_folder_should_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as refusal:
        files.write_text(tmp_path / "file" / "below" / "a.txt", "content")
    assert refusal.value.exit_code == 73
    with pytest.raises(OutputError):
        files.refuse_unwritable(tmp_path / "file" / "below" / "a.txt")


def test_a_folder_where_the_file_should_be_is_refused(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputError):
        files.write_text(tmp_path / "a.txt", "content")
    assert names(tmp_path) == ["a.txt"]


def test_a_place_without_permission_is_refused_before_and_while_writing(open_folder):
    open_folder.chmod(0o555)
    with unprivileged():
        with pytest.raises(OutputError, match="Permission denied"):
            files.refuse_unwritable(open_folder / "new" / "a.txt")
        with pytest.raises(OutputError, match="ask for permission"):
            files.write_text(open_folder / "new" / "a.txt", "content")
    assert names(open_folder) == []


def test_a_writable_place_is_not_refused_and_nothing_is_made_there(tmp_path):
    files.refuse_unwritable(tmp_path / "new" / "folder" / "a.txt")
    assert names(tmp_path) == []


def test_what_torch_says_of_a_full_disk_is_understood(tmp_path):
    with pytest.raises(OutputError, match="Free some space"), files.writing(tmp_path):
        raise RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed")
    with pytest.raises(RuntimeError, match="another"), files.writing(tmp_path):
        raise RuntimeError("another reason")


def test_a_folder_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "above" / "folder"
    with whole_folder(path) as temporary:
        (temporary / "a.txt").write_text("content")
        assert not path.exists()
    assert names(path) == ["a.txt"]
    assert names(path.parent) == ["folder"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_that_fails_leaves_what_was_there(tmp_path, overwrite):
    path = tmp_path / "folder"
    path.mkdir()
    if overwrite:
        (path / "old.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_folder(path, overwrite=overwrite) as temporary:
        (temporary / "new.txt").write_text("new")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["folder"]
    assert names(path) == (["old.txt"] if overwrite else [])


def test_a_folder_that_holds_something_is_replaced_only_on_request(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with pytest.raises(OutputError, match="exists already"), whole_folder(path):
        pytest.fail("the block must not begin")
    with whole_folder(path, overwrite=True) as temporary:
        (temporary / "new.txt").write_text("new")
        assert names(path) == ["old.txt"]
    assert names(path) == ["new.txt"]
    assert names(tmp_path) == ["folder"]


def test_a_leftover_of_a_killed_process_of_this_number_is_in_nobodys_way(tmp_path):
    leftover = files._temporary(tmp_path / "folder")
    leftover.mkdir()
    (leftover / "half.txt").touch()
    with whole_folder(tmp_path / "folder") as temporary:
        (temporary / "a.txt").touch()
    assert names(tmp_path) == ["folder"]
    assert names(tmp_path / "folder") == ["a.txt"]


def test_only_what_holds_something_exists_already(tmp_path):
    files.refuse_existing(tmp_path / "absent")
    files.refuse_existing(tmp_path)
    (tmp_path / "a.txt").touch()
    for taken in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(OutputError, match="exists already") as refusal:
            files.refuse_existing(taken)
        assert refusal.value.exit_code == 73


@pytest.mark.parametrize("refuse", [files.refuse_existing, files.refuse_unwritable])
def test_a_name_that_is_too_long_is_an_output_that_cannot_be_written(tmp_path, refuse):
    with pytest.raises(OutputError, match="too long"):
        refuse(tmp_path / ("a" * 300))


def test_a_name_that_is_not_refused_can_be_written(tmp_path):
    longest = 0
    for length in range(200, 256):
        path = tmp_path / ("a" * length)
        try:
            files.refuse_unwritable(path)
        except OutputError:
            continue
        files.write_text(path, "content")
        longest = length
    assert 230 < longest < 255


def test_a_folder_must_be_there_be_one_and_be_open(tmp_path, open_folder):
    assert files.existing_folder(tmp_path, "CAPS") == tmp_path
    with pytest.raises(MissingInputError, match="The CAPS does not exist"):
        files.existing_folder(tmp_path / "absent", "CAPS")
    (tmp_path / "file").touch()
    with pytest.raises(MissingInputError, match="The CAPS is not a folder"):
        files.existing_folder(tmp_path / "file", "CAPS")
    open_folder.chmod(0o000)
    with unprivileged(), pytest.raises(MissingInputError, match="cannot be read"):
        files.existing_folder(open_folder, "CAPS")


def test_bytes_of_what_is_absent_or_a_folder_are_missing_input(tmp_path):
    (tmp_path / "a").write_bytes(b"\x00\xff")
    assert files.read_bytes(tmp_path / "a", "image") == b"\x00\xff"
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(MissingInputError, match="The image") as refusal:
            files.read_bytes(path, "image")
        assert refusal.value.exit_code == 66
        assert str(path) in str(refusal.value)


def test_the_status_of_what_is_absent_is_missing_input(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    assert files.status(tmp_path / "a", "image").st_size == 3
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for name in ("absent", "link", "a/below"):
        with pytest.raises(MissingInputError, match="The image cannot be read"):
            files.status(tmp_path / name, "image")


@pytest.mark.parametrize(
    "parts",
    [("..",), ("..", "other"), ("a", "..", "..", "b"), ("/etc/passwd",), ("a/../../b",), ("",)],
    ids="/".join,
)
def test_a_name_that_leads_out_of_its_folder_is_refused(tmp_path, parts):
    with pytest.raises(InvalidDataError, match="leads out of its folder") as refusal:
        files.inside(tmp_path / "home", *parts)
    assert refusal.value.exit_code == 65


def test_a_link_that_leads_out_of_its_folder_is_refused(tmp_path):
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    (home / "link").symlink_to(outside)
    with pytest.raises(InvalidDataError, match="leads out of its folder"):
        files.inside(home, "link", "a.txt")


def test_a_folder_that_is_itself_reached_by_a_link_is_a_folder(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    assert files.inside(tmp_path / "link", "a.txt") == tmp_path / "link" / "a.txt"


@given(st.lists(st.text(st.sampled_from("ab./"), max_size=6), max_size=4))
def test_no_name_at_all_leads_out_of_its_folder(parts):
    home = Path("/somewhere/home")
    try:
        path = files.inside(home, *parts)
    except InvalidDataError:
        return
    assert os.path.normpath(path).startswith("/somewhere/home/")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "../a", "a/", "a\0"])
def test_a_path_for_a_name_is_refused(tmp_path, name):
    assert files.below(tmp_path, "a", "b..c") == tmp_path / "a" / "b..c"
    with pytest.raises(InvalidDataError, match="leads out of its folder"):
        files.below(tmp_path, "a", name)


def test_the_hash_is_that_of_the_standard_library(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"content" * 1000)
    assert files.sha256(path) == hashlib.sha256(b"content" * 1000).hexdigest()
    with pytest.raises(MissingInputError):
        files.sha256(tmp_path / "absent")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_json_survives_the_file(content):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        files.write_json(path, content, durable=False)
        assert files.read_json(path, "record") == content
        assert json.loads(path.read_text(encoding="utf-8")) == content


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is not JSON"),
        (b'{"key": ', "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b"[1, 2]", "is not a JSON object"),
        (b'"text"', "is not a JSON object"),
    ],
)
def test_what_is_no_json_object_is_invalid_data(tmp_path, content, complaint):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InvalidDataError, match=f"The record {complaint}") as refusal:
        files.read_json(path, "record")
    assert str(path) in str(refusal.value)


def test_json_of_an_editor_that_writes_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"key": 1}')
    assert files.read_json(path, "record") == {"key": 1}


def test_a_lock_goes_with_the_process_that_took_it_and_not_with_its_forks(tmp_path):
    """As when a training is killed whose processes that read samples live on for a while."""
    path = tmp_path / ".lock"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from clinicadl.layouts.files import lock\n"
        "with lock(Path(sys.argv[1]), 'MAPS'):\n"
        "    ready, told = os.pipe()\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        os.write(told, b'x')\n        os.read(0, 1)\n        os._exit(0)\n"
        "    os.read(ready, 1)\n"
        "    print(child, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        child = int(holder.stdout.readline())
        assert holder.wait() == -signal.SIGKILL
        assert Path(f"/proc/{child}").exists()
        with files.lock(path, "MAPS"):
            holder.stdin.write(b"x")


def test_a_lock_is_held_by_one_process_and_let_go_even_by_a_kill(tmp_path):
    path = tmp_path / "folder" / ".lock"
    with files.lock(path, "MAPS"):
        code = (
            "import sys\nfrom pathlib import Path\nfrom clinicadl.layouts.files import lock\n"
            "from clinicadl.errors import OutputError\n"
            "try:\n    with lock(Path(sys.argv[1]), 'MAPS'): pass\n"
            "except OutputError as error: print(error)\n"
        )
        said = run(code, path)
    assert "Another process is writing to the MAPS" in said.stdout
    assert run(code, path).stdout == ""
    killed = code.replace("pass", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert run(killed, path).returncode == -signal.SIGKILL
    with files.lock(path, "MAPS"):
        pass


TURN = (
    "import sys\nfrom pathlib import Path\nfrom clinicadl.layouts.files import turn\n"
    "with turn(Path(sys.argv[1])): print('mine', flush=True); sys.stdin.read()\n"
)


def test_who_asks_for_a_folder_waits_until_it_is_let_go_of_even_by_a_kill(tmp_path):
    folder = tmp_path / "a" / "b"
    command = [sys.executable, "-c", TURN, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"mine\n"
        got = threading.Event()

        def ask() -> None:
            with files.turn(folder):
                got.set()

        asker = threading.Thread(target=ask)
        asker.start()
        # Whatever the wait: it cannot have it while the other holds it.
        assert not got.wait(0.2)
        holder.kill()
        asker.join(60)
        assert got.is_set()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF])
def test_where_there_are_no_locks_nobody_waits(tmp_path, monkeypatch, number):
    def flock(handle, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.fcntl, "flock", flock)
    entered = []
    with files.turn(tmp_path):
        entered.append(number)
    assert entered == [number]


def test_a_folder_that_cannot_be_held_is_named(tmp_path, monkeypatch):
    def flock(handle, operation):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with pytest.raises(OutputError, match=re.escape(str(tmp_path))), files.turn(tmp_path):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"), files.turn(tmp_path / "file"):
        pass


def test_a_process_of_the_same_number_elsewhere_writes_to_another_file(tmp_path):
    """As in containers that share a folder: their processes are all number 1."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom clinicadl.layouts import files\n"
        "os.getpid = lambda: 1\n"
        "with files.whole_file(Path(sys.argv[1])) as path: path.touch(); print(path.name)\n"
    )
    said = {run(code, tmp_path / "a").stdout for _ in range(2)}
    assert len(said) == 2


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "Free some space"),
        (errno.EACCES, "ask for permission"),
        (errno.EROFS, "ask for permission"),
        (errno.ENOTDIR, "Choose another place"),
    ],
)
def test_each_reason_against_writing_says_what_to_do(tmp_path, number, fix):
    with pytest.raises(OutputError, match=fix) as refusal:
        files.refuse_writing(tmp_path, OSError(number, os.strerror(number)))
    assert os.strerror(number) in str(refusal.value)


def test_the_file_that_was_there_is_kept_beside_the_new_one(tmp_path):
    path, former = tmp_path / "a.txt", tmp_path / "former.txt"
    for content in ("one", "two", "three"):
        with whole_file(path, former=former) as temporary:
            temporary.write_text(content)
    assert (path.read_text(), former.read_text()) == ("three", "two")
    with pytest.raises(ValueError, match="no"), whole_file(path, former=former) as temporary:
        raise ValueError("no")
    assert (path.read_text(), former.read_text()) == ("three", "two")


def test_what_killed_processes_left_half_written_goes_and_nothing_else(tmp_path):
    kept = tmp_path / "below" / "a.txt"
    kept.parent.mkdir()
    kept.touch()
    (tmp_path / "below" / ".partial-0-1-a.txt").touch()
    (tmp_path / ".partial-0-2-folder" / "deep").mkdir(parents=True)
    (tmp_path / ".partial-0-2-folder" / "deep" / ".partial-0-3-a").touch()
    files.remove_partial(tmp_path)
    assert [*tmp_path.rglob("*")] == [kept.parent, kept]


def test_a_lock_can_be_shared_by_those_who_want_no_more(tmp_path):
    path = tmp_path / ".lock"
    code = (
        "import sys\nfrom pathlib import Path\nfrom clinicadl.layouts.files import lock\n"
        "from clinicadl.errors import OutputError\n"
        "for is_shared in (True, False):\n"
        "    try:\n"
        "        with lock(Path(sys.argv[1]), 'MAPS', is_shared=is_shared): print('held')\n"
        "    except OutputError as error: print('refused')\n"
    )
    with files.lock(path, "MAPS", is_shared=True):
        assert run(code, path).stdout.split() == ["held", "refused"]
    with files.lock(path, "MAPS"):
        assert run(code, path).stdout.split() == ["refused", "refused"]
    assert run(code, path).stdout.split() == ["held", "held"]


def test_who_only_asks_whether_a_file_is_held_is_in_nobodys_way(tmp_path, monkeypatch):
    path = tmp_path / ".lock"
    path.touch()
    asking = path.open("rb")
    fcntl.flock(asking, fcntl.LOCK_SH)
    monkeypatch.setattr(files.time, "sleep", lambda _: asking.close())
    with files.lock(path, "MAPS"):
        assert asking.closed


def test_without_locks_nothing_is_written(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", none)
    with pytest.raises(OutputError, match="No locks available"), files.lock(tmp_path / "a", "MAPS"):
        pass
    with files.turn(tmp_path) as others_wait:
        assert not others_wait
    monkeypatch.undo()
    with files.turn(tmp_path) as others_wait:
        assert others_wait


def test_what_is_half_written_in_folders_below_stays_if_it_is_not_meant(tmp_path):
    (tmp_path / "below").mkdir()
    for path in (tmp_path / ".partial-0-1-a", tmp_path / "below" / ".partial-0-1-a"):
        path.touch()
    files.remove_partial(tmp_path, is_deep=False)
    assert [path.name for path in (tmp_path / "below").iterdir()] == [".partial-0-1-a"]
    assert [path.name for path in tmp_path.iterdir()] == ["below"]


def test_it_can_be_asked_whether_a_file_is_held(tmp_path):
    path = tmp_path / ".lock"
    assert not files.is_held(path)
    assert not path.exists()
    with files.lock(path, "MAPS"):
        assert files.is_held(path)
        assert files.is_held(path), "it was not let go by asking"
    assert not files.is_held(path)
