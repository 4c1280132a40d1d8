"""The documentation says what the code does."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def test_the_table_of_settings_is_up_to_date():
    command = [sys.executable, ROOT / "scripts" / "docs_tables.py", "--check"]
    done = subprocess.run(command, check=False)
    assert done.returncode == 0, "run scripts/docs_tables.py"


def test_every_command_has_a_page_and_every_page_is_in_the_navigation():
    from clinicadl.cli.main import COMMANDS

    navigation = (ROOT / "mkdocs.yml").read_text()
    assert PAGES
    for name in COMMANDS:
        assert ROOT / "docs" / "commands" / f"{name}.md" in PAGES
    for page in PAGES:
        assert str(page.relative_to(ROOT / "docs")) in navigation


def test_every_exit_code_is_documented():
    from clinicadl import errors

    page = (ROOT / "docs" / "concepts" / "errors.md").read_text()
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.ClinicaDLError)}
    for code in codes | {0, errors.INTERRUPTED}:
        assert f"| {code} |" in page


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_gives_the_two_commands(command):
    assert command in (ROOT / "README.md").read_text()
