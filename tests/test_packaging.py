"""What packages and containers say is what ``pyproject.toml`` and the constraints say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IN_CONDA = {"torch": "pytorch", "isal": "python-isal"}
"""Packages that have another name there."""
LABEL = re.compile(r'org\.opencontainers\.image\.(\w+)="([^"]*)"')


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(package): version for package, version in pairs}


@pytest.fixture(scope="module")
def recipe():
    return yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text())


def test_the_conda_recipe_asks_for_the_core_dependencies(recipe):
    run = dict(line.split(" ", 1) for line in recipe["requirements"]["run"])
    assert run.pop("python") == PROJECT["requires-python"]
    expected = {}
    for line in PROJECT["dependencies"]:
        one = Requirement(line)
        expected[IN_CONDA.get(one.name, one.name.lower())] = str(one.specifier)
    assert run == expected


def test_the_conda_recipe_describes_this_release(recipe):
    assert recipe["context"]["version"] == PROJECT["version"]
    assert recipe["package"] == {"name": PROJECT["name"], "version": "${{ version }}"}
    (entry,) = recipe["build"]["python"]["entry_points"]
    assert dict([entry.split(" = ")]) == PROJECT["scripts"]
    assert recipe["about"]["license"] == PROJECT["license"]
    assert recipe["about"]["summary"] == PROJECT["description"]
    home = ROOT / "packaging" / "conda" / recipe["source"]["path"]
    assert (home / recipe["about"]["license_file"]).is_file()


def test_the_citation_file_describes_this_release():
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert content["version"] == PROJECT["version"]
    assert content["license"] == PROJECT["license"]
    assert content["abstract"].rstrip(".") == PROJECT["description"]


@pytest.mark.parametrize("path", ["Containerfile", "packaging/apptainer/clinicadl.def"])
def test_containers_install_the_tested_versions(path):
    text = (ROOT / path).read_text()
    assert f"torch=={pins('constraints-preproc.txt')['torch']}" in text
    assert "--constraint constraints-preproc.txt" in text
    (extras,) = re.findall(r'"\.\[([a-z,]+)\]"', text)
    needed = [
        Requirement(line).name
        for extra in extras.split(",")
        for line in PROJECT["optional-dependencies"][extra]
    ]
    core = [Requirement(line).name for line in PROJECT["dependencies"]]
    missing = {canonicalize_name(one) for one in core + needed} - pins(
        "constraints-preproc.txt"
    ).keys()
    assert not missing, "these would come in whatever version is newest"


def test_the_container_describes_this_release_and_runs_as_nobody_in_particular():
    text = (ROOT / "Containerfile").read_text()
    labels = dict(LABEL.findall(text))
    assert labels == {
        "title": PROJECT["name"],
        "description": PROJECT["description"],
        "version": PROJECT["version"],
        "licenses": PROJECT["license"],
    }
    assert re.findall(r"^USER (\w+)$", text, re.MULTILINE) == ["1000"]
    assert 'ENTRYPOINT ["clinicadl"]' in text


def test_the_apptainer_definition_describes_this_release():
    text = (ROOT / "packaging" / "apptainer" / "clinicadl.def").read_text()
    assert f"Version {PROJECT['version']}\n" in text
    assert f"License {PROJECT['license']}\n" in text


def test_containers_begin_with_the_same_image_and_take_files_that_are_there():
    container = (ROOT / "Containerfile").read_text()
    definition = (ROOT / "packaging" / "apptainer" / "clinicadl.def").read_text()
    assert re.findall(r"^FROM (\S+)$", container, re.MULTILINE) == re.findall(
        r"^From: (\S+)$", definition, re.MULTILINE
    )
    taken = {line.split()[0] for line in definition.splitlines() if " /opt/clinicadl/" in line}
    copied = {
        word
        for line in re.findall(r"^COPY (.+) \S+$", container, re.MULTILINE)
        for word in line.split()
    }
    assert taken == copied
    assert all((ROOT / name).exists() for name in taken)
    for name in (".containerignore", ".dockerignore"):
        kept = {line[1:] for line in (ROOT / name).read_text().splitlines() if line[:1] == "!"}
        assert kept == taken


def test_the_data_environment_makes_data_with_the_tested_versions():
    # What turns numbers into bytes; the rest are tools.
    used = ["torch", "numpy", "scipy", "pandas", "nibabel", "isal", "safetensors", "pydantic"]
    tested, there = pins("constraints.txt"), pins("constraints-data.txt")
    assert {one: there[one] for one in used} == {one: tested[one] for one in used}


def test_the_page_on_installation_lists_every_extra_with_its_packages():
    text = (ROOT / "docs" / "installation.md").read_text().split("<!-- extras -->")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in text.strip().splitlines()]
    assert rows.pop(0) == ["extra", "brings"]
    del rows[0]  # the line under the header
    found = {extra.strip("`"): packages.split(", ") for extra, packages in rows}
    expected = {
        extra: [Requirement(line).name for line in lines]
        for extra, lines in PROJECT["optional-dependencies"].items()
        if extra not in ("dev", "docs")
    }
    assert found == expected
    assert (
        f"{len(PROJECT['dependencies'])} packages"
        in (ROOT / "docs" / "installation.md").read_text()
    )
