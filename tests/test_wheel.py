"""The checks of ``make wheel`` see what is wrong with a wheel, an sdist and an installation."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from runpy import run_path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
WHEEL = run_path(str(ROOT / "scripts" / "wheel.py"))
RefusedError = WHEEL["RefusedError"]


def wheel_of(path: Path, changes: dict[str, bytes | None]) -> Path:
    """Write a wheel of the sources, but for some files."""
    licence = {"clinicadl-2.dist-info/licenses/LICENSE": (ROOT / "LICENSE").read_bytes()}
    with ZipFile(path, "w") as archive:
        for name, text in (WHEEL["sources"]() | licence | changes).items():
            if text is not None:
                archive.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clinicadl/py.typed": None}, r"not those of src: clinicadl/py\.typed"),
        ({"clinicadl/report/page.html.j2": None}, r"clinicadl/report/page\.html\.j2"),
        ({"clinicadl/errors.py": b""}, r"clinicadl/errors\.py"),
        ({"tests/test_work.py": b""}, r"tests/test_work\.py"),
        ({"clinicadl-2.dist-info/licenses/LICENSE": None}, "licence"),
    ],
)
def test_a_wheel_with_other_files_is_refused(tmp_path, changes, message):
    WHEEL["check_wheel"](wheel_of(tmp_path / "good.whl", {}))
    with pytest.raises(RefusedError, match=message):
        WHEEL["check_wheel"](wheel_of(tmp_path / "bad.whl", changes))


def sdist_of(path: Path, names: list[str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(f"clinicadl-2/{name}"), io.BytesIO())
    return path


def test_an_sdist_with_other_files_is_refused(tmp_path):
    words = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    if said.returncode:
        pytest.skip("the sources are not kept by git here")
    names = [name for name in said.stdout.splitlines() if not name.startswith(".ci/")]
    WHEEL["check_sdist"](sdist_of(tmp_path / "good.tar.gz", [*names, "PKG-INFO"]))
    fewer = [name for name in names if name != "conftest.py"]
    with pytest.raises(RefusedError, match=r"lacks conftest\.py"):
        WHEEL["check_sdist"](sdist_of(tmp_path / "fewer.tar.gz", fewer))
    with pytest.raises(RefusedError, match=r"brings data/secret\.nii"):
        WHEEL["check_sdist"](sdist_of(tmp_path / "more.tar.gz", [*names, "data/secret.nii"]))


class Installed:
    def __init__(self, *requires: str) -> None:
        self.requires = list(requires)


def test_only_what_is_asked_for_without_extras_is_needed():
    there = {
        "clinicadl": Installed("torch>=2", "captum; extra == 'interpret'", "x; sys_platform=='no'"),
        "torch": Installed("Jinja2"),
        "jinja2": Installed(),
        "captum": Installed(),
    }
    assert WHEEL["closure"]("clinicadl", there) == {"clinicadl", "torch", "jinja2"}
    del there["jinja2"]
    with pytest.raises(RefusedError, match="jinja2 is needed"):
        WHEEL["closure"]("clinicadl", there)


def test_a_command_that_fails_is_refused_with_what_it_said(tmp_path):
    with pytest.raises(RefusedError, match=r"exit code 3 of sh .*\n.*alas"):
        WHEEL["run"](["sh", "-c", "echo alas; exit 3"], folder=tmp_path)
