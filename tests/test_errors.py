"""Errors: one sentence, one exit code, and they survive the way out of a process."""

import pickle  # the way in which processes hand over errors

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl import errors

EXIT_CODES = {
    "ClinicaDLError": 1,
    "UsageError": 2,
    "MissingExtraError": 2,
    "PartialError": 3,
    "LeakageError": 4,
    "InvalidDataError": 65,
    "MissingInputError": 66,
    "OutputError": 73,
    "CannotResumeError": 75,
}


def test_a_message_says_what_where_what_was_found_and_what_to_do():
    error = errors.InvalidDataError(
        "Age is not a number", where="labels.tsv, row 12", found="'n/a'", fix="Correct the value"
    )
    said = "Age is not a number in labels.tsv, row 12 (found: 'n/a'). Correct the value."
    assert str(error) == said


@pytest.mark.parametrize(("name", "code"), EXIT_CODES.items())
def test_each_error_has_its_exit_code(name, code):
    assert getattr(errors, name).exit_code == code


def test_no_error_is_without_a_documented_code():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    found = {kind.__name__ for kind in kinds if issubclass(kind, errors.ClinicaDLError)}
    assert found == set(EXIT_CODES)


def test_a_missing_extra_names_the_command_that_brings_it():
    assert 'pip install "clinicadl[demo]"' in str(errors.MissingExtraError("nilearn", "demo"))


@pytest.mark.parametrize(
    "error",
    [
        errors.OutputError("It exists", where="a", found=3, fix="Go elsewhere"),
        errors.MissingExtraError("nilearn", "demo"),
    ],
)
def test_an_error_comes_whole_out_of_another_process(error):
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))


@given(st.lists(st.text(alphabet="abc", min_size=1), max_size=30), st.integers(1, 12))
def test_a_list_shows_the_first_names_and_counts_the_rest(names, most):
    shown = errors.listed(names, most=most)
    assert all(name in shown for name in names[:most])
    assert (f"and {len(names) - most} more" in shown) == (len(names) > most)
