"""Every error, exit code and finding has its page, and no page is of nothing."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from clinicadl import errors
from clinicadl.explanations.pages import codes_of_exits, pages
from clinicadl.guard.rules import EVALUATION_RULES, TRAINING_RULES
from clinicadl.guard.set_rules import LEAKAGE_RULES, VALIDITY_RULES
from clinicadl.guard.suspicions import SUSPICIONS

SOURCES = Path(errors.__file__).parent
KINDS = [errors.ClinicaDLError, *errors.ClinicaDLError.__subclasses__(), errors.MissingExtraError]
RULES = {*TRAINING_RULES, *EVALUATION_RULES, *LEAKAGE_RULES, *VALIDITY_RULES, *SUSPICIONS}


def every_subclass(kind: type) -> set[type]:
    return {kind}.union(*map(every_subclass, kind.__subclasses__()))


def found_rules() -> set[str]:
    """Return the name of every finding that the guard can make, as the sources have it."""
    found = set()
    for path in [*(SOURCES / "guard").glob("*.py"), *(SOURCES / "engine").glob("*.py")]:
        module = f"clinicadl.{path.parent.name}.{path.stem}"
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id != "Finding":
                continue
            name = node.args[0]
            if isinstance(name, ast.Constant):
                found.add(name.value)
            elif isinstance(name, ast.Name) and name.id.isupper():
                found.add(getattr(import_module(module), name.id))
            else:
                assert ast.unparse(name) == "rule", (path, ast.unparse(name))
    return found


def named_codes() -> set[str]:
    """Return every code that an error is given where it is raised."""
    return {
        word.value.value
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error")
        for word in node.keywords
        if word.arg == "code" and isinstance(word.value, ast.Constant)
    }


def test_every_error_exit_code_and_finding_has_a_page_and_no_page_is_of_nothing():
    assert every_subclass(errors.ClinicaDLError) == {*KINDS}
    codes = {kind.code for kind in KINDS} | {*codes_of_exits().values()} | named_codes()
    assert len(found_rules()) > 20
    assert {*pages()} == codes | RULES | found_rules()


def test_the_page_of_an_exit_code_is_that_of_its_errors():
    for kind in KINDS:
        if kind is not errors.MissingExtraError:
            assert codes_of_exits()[kind.exit_code] == kind.code
    assert codes_of_exits()[0] == "done"
    assert codes_of_exits()[errors.INTERRUPTED] == "interrupted"


@pytest.mark.parametrize("code", pages())
def test_a_page_says_what_why_and_what_to_do(code):
    page = pages()[code]
    text = page.text
    assert text.startswith(f"# {code}\n\n{page.meaning.split()[0]}")
    if code in codes_of_exits().values():
        number = next(number for number, name in codes_of_exits().items() if name == code)
        assert f"xit code {number}" in page.meaning
    assert "\n## Why" in text or "\n## Usual causes\n" in text or "\n## What is left\n" in text
    assert "\n## What to do\n" in text
    if code in LEAKAGE_RULES or code in VALIDITY_RULES or code in SUSPICIONS:
        assert "audit" in text


def test_a_rule_is_shown_in_its_example_as_it_is_found():
    for code in RULES:
        text = pages()[code].text
        _, shown, example = text.partition("```console")
        # A session that was seen is told beside its participant; a name that misleads only warns.
        if shown and code not in ("seen-sessions", "misleading-group"):
            assert code in example


@pytest.mark.parametrize(
    ("asked", "code"),
    [("4", "leakage"), ("130", "interrupted"), ("Late_Split", "late-split"), ("0", "done")],
)
def test_a_page_is_found_by_number_and_by_any_spelling(asked, code, invoke):
    exit_code, out, _ = invoke("explain", asked)
    assert exit_code == 0
    assert out.startswith(f"# {code}\n")
    assert "](" not in out and "```" not in out and "<!--" not in out


def test_the_list_has_a_line_a_page_and_is_shown_without_a_code(invoke):
    _, out, _ = invoke("explain", "list")
    assert [line.split()[0] for line in out.splitlines()] == [*pages()]
    assert invoke("explain")[1] == out


@pytest.mark.parametrize(
    ("asked", "meant"), [("lekage", "leakage"), ("74", "0, 1, 2, 3, 4, 65, 66, 73, 75, 130")]
)
def test_an_unknown_code_names_the_nearest(asked, meant, invoke):
    code, _, said = invoke("explain", asked)
    assert code == 2
    assert f" {meant};" in said


def test_an_error_ends_with_the_line_that_leads_to_its_page(prepared, trained, invoke):
    code, _, said = invoke(
        "predict", trained, "again", "--caps_directory", prepared, "--no-gpu",
        "--participants_tsv", prepared / "split/train.tsv",
    )  # fmt: skip
    assert code == 4
    assert said.splitlines()[-1] == "More: clinicadl explain seen-participants"
    code, _, said = invoke("predict", trained, "again", "--no-such-option")
    assert code == 2
    assert said.splitlines()[-1] == "More: clinicadl explain usage"
    code, _, said = invoke("tsvtools", "split", "nowhere.tsv")
    assert code == 66
    assert said.splitlines()[-1] == "More: clinicadl explain missing-input"


def test_the_code_of_an_error_survives_another_process():
    error = errors.LeakageError("Somebody", fix="Mend", code="late-split")
    again = pickle.loads(pickle.dumps(error))
    assert (again.code, str(again)) == ("late-split", str(error))
    assert pickle.loads(pickle.dumps(errors.MissingExtraError("x", "y"))).code == "missing-extra"


def test_an_explanation_needs_no_network_library_and_no_network():
    code = (
        "import socket, sys\n"
        "from clinicadl.cli.main import run\n"
        "def refused(*_): raise OSError('no network')\n"
        "socket.socket.connect = refused\n"
        "try:\n"
        "    run(['explain', 'leakage'])\n"
        "except SystemExit as done:\n"
        "    assert not done.code\n"
        "print('HEAVY', sorted({'torch', 'numpy', 'pandas'} & set(sys.modules)))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("# leakage\n")
    assert said.stdout.endswith("HEAVY []\n")
