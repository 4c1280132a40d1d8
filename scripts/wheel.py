"""Build sdist and wheel, say what is wrong with them, and use the wheel as a stranger would.

The wheel is installed outside of the checkout, in an environment of its own, without extras; then
with the extra that the demonstration needs, which is run by the installed package alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = (".ci/",)
"""What git keeps and the sdist does not."""
ALWAYS = {"pip", "setuptools"}
"""What an empty environment has."""
N_MODELS = 6
"""Best models of the quick demonstration: three modes, two selection metrics."""


class RefusedError(Exception):
    """Something is wrong with what was built."""


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="default: %(default)s")
    parser.add_argument("--no-demo", action="store_true", help="install, and run no demonstration")
    given = parser.parse_args()
    try:
        with TemporaryDirectory() as temporary:
            folder = Path(temporary)
            sdist, wheel = build(given.dist, folder)
            check_sdist(sdist)
            check_wheel(wheel)
            python = install(wheel, folder)
            check_core(wheel, python)
            use(python, folder)
            if not given.no_demo:
                demo(wheel, python, folder)
    except RefusedError as error:
        print(f"wheel: {error}", file=sys.stderr)
        sys.exit(1)


def build(dist: Path, folder: Path) -> tuple[Path, Path]:
    """Return sdist and wheel; the wheel of the sdist is that of the tree, file by file."""
    for target, words in ((dist, ()), (folder / "of-tree", ("--wheel",))):
        for former in [*target.glob("clinicadl-*.whl"), *target.glob("clinicadl-*.tar.gz")]:
            former.unlink()
        run([sys.executable, "-m", "build", *words, "--outdir", target, ROOT], quiet=True)
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    (of_tree,) = (folder / "of-tree").glob("*.whl")
    refuse(contents(wheel) != contents(of_tree), "the wheels of sdist and tree differ")
    print(f"{sdist.name}: {sdist.stat().st_size / 1e6:.1f} MB")
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(contents(wheel))} files")
    return sdist, wheel


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sources() -> dict[str, bytes]:
    """Return the files of the package in the tree, by their path in a wheel."""
    home = ROOT / "src"
    found = (path for path in home.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in found}


def check_wheel(wheel: Path) -> None:
    """Refuse a wheel that lacks a file of the package, or brings another."""
    inside = contents(wheel)
    package = {name: text for name, text in inside.items() if ".dist-info/" not in name}
    expected = sources()
    wrong = sorted(
        name for name in package.keys() | expected.keys() if package.get(name) != expected.get(name)
    )
    refuse(bool(wrong), f"files of the wheel are not those of src: {', '.join(wrong)}")
    refuse("clinicadl/py.typed" not in package, "there is no py.typed")
    refuse(not any(name.endswith(".j2") for name in package), "there are no templates")
    licence = (ROOT / "LICENSE").read_bytes()
    told = [text for name, text in inside.items() if name.endswith("/licenses/LICENSE")]
    refuse(told != [licence], "the licence is not in the wheel")


def check_sdist(sdist: Path) -> None:
    """Refuse an sdist that lacks what git keeps: its tests would not run; or that brings more."""
    with tarfile.open(sdist) as archive:
        inside = {member.name.partition("/")[2] for member in archive if member.isfile()}
    listed = run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"], quiet=True)
    kept = {name for name in listed.splitlines() if not name.startswith(LEFT_OUT)}
    refuse(bool(kept - inside), f"the sdist lacks {', '.join(sorted(kept - inside))}")
    more = inside - kept - {"PKG-INFO"}
    refuse(bool(more), f"the sdist brings {', '.join(sorted(more))}")


def install(wheel: Path, folder: Path) -> Path:
    """Return the Python of a new environment with the wheel in it, and no extra."""
    home = folder / "environment"
    run([sys.executable, "-m", "venv", home])
    python = home / "bin" / "python"
    pip(python, next(line for line in constraints() if line.startswith("torch==")))
    pip(python, str(wheel))
    return python


def constraints() -> list[str]:
    """Return the lines of the tested versions."""
    return (ROOT / "constraints.txt").read_text().splitlines()


def pip(python: Path, what: str) -> None:
    """Install something in its tested version."""
    words = ["--quiet", "--disable-pip-version-check", "--constraint", ROOT / "constraints.txt"]
    run([python, "-m", "pip", "install", *words, what])


def check_core(wheel: Path, python: Path) -> None:
    """Refuse an installation with more, or less, than the core dependencies and what they need."""
    (site,) = (python.parents[1] / "lib").glob("python*/site-packages")
    there = {
        canonicalize_name(one.metadata["Name"]): one for one in distributions(path=[str(site)])
    }
    needed = closure("clinicadl", there)
    more = there.keys() - needed - ALWAYS
    refuse(bool(more), f"pip install clinicadl brings {', '.join(sorted(more))}")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = {canonicalize_name(Requirement(one).name) for one in project["dependencies"]}
    direct = names(there["clinicadl"])
    refuse(
        direct != core, f"the wheel asks for {sorted(direct)}, pyproject.toml for {sorted(core)}"
    )
    print(f"{wheel.name} without extras: {len(core)} dependencies, {len(there)} packages in all")


def closure(name: str, there: Mapping[str, Distribution]) -> set[str]:
    """Return a package with all that it needs, without extras that nobody asked for.

    Raises
    ------
    RefusedError
        A package is not installed.
    """
    done: set[str] = set()
    todo = {name}
    while todo:
        one = todo.pop()
        if one not in there:
            raise RefusedError(f"{one} is needed and not installed")
        done.add(one)
        todo |= names(there[one]) - done
    return done


def names(one: Distribution) -> set[str]:
    """Return the packages that a package asks for on this machine, without its extras."""
    asked = map(Requirement, one.requires or ())
    return {
        canonicalize_name(each.name)
        for each in asked
        if each.marker is None or each.marker.evaluate({"extra": ""})
    }


def use(python: Path, folder: Path) -> None:
    """Run the help of every command, and import every public name, far from the sources."""
    program = python.parent / "clinicadl"
    said = run([program, "--help"], folder=folder, quiet=True)
    commands = [line.split()[0] for line in said.partition("Commands:")[2].splitlines() if line]
    refuse(len(commands) < 10, f"--help lists {commands}")
    for command in commands:
        run([program, command, "--help"], folder=folder, quiet=True)
    code = (
        "import clinicadl\n"
        "for name in clinicadl.__all__: getattr(clinicadl, name)\n"
        "print(clinicadl.__file__)"
    )
    where = run([python, "-c", code], folder=folder, quiet=True).strip()
    refuse(not Path(where).is_relative_to(folder), f"clinicadl was imported from {where}")
    version = run([program, "--version"], folder=folder, quiet=True).strip()
    print(f"{version}: {len(commands)} commands")


def demo(wheel: Path, python: Path, folder: Path) -> None:
    """Run the quick demonstration, and verify what it made."""
    pip(python, f"{wheel}[demo]")
    copytree(ROOT / "examples" / "demo", folder / "scripts")
    said = run(
        [python, folder / "scripts" / "run.py", "--quick", "--folder", folder / "demo"],
        folder=folder, quiet=True,
    )  # fmt: skip
    rows = [
        line for line in said.splitlines() if line.lstrip().startswith(("image ", "roi ", "patch "))
    ]
    refuse(len(rows) != N_MODELS, f"the demonstration says of {len(rows)} models, not {N_MODELS}")
    for mode in ("image", "roi", "patch"):
        maps = folder / "demo" / "maps" / mode
        refuse(not (maps / "report.html").is_file(), f"there is no report of {mode}")
        run([python, "-m", "clinicadl", "verify", maps], folder=folder, quiet=True)
    print("\n".join(["the demonstration, by the installed wheel:", *rows]))


def run(words: Iterable[object], *, folder: Path = ROOT, quiet: bool = False) -> str:
    """Run a command that sees nothing of the checkout, and return what it said.

    Raises
    ------
    RefusedError
        It failed; with what it said.
    """
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in hidden},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode:
        shown = " ".join(map(str, words))
        raise RefusedError(f"exit code {done.returncode} of {shown}\n{done.stdout}")
    return done.stdout


def refuse(wrong: bool, what: str) -> None:
    """Stop if something is wrong.

    Raises
    ------
    RefusedError
        It is.
    """
    if wrong:
        raise RefusedError(what)


if __name__ == "__main__":
    main()
