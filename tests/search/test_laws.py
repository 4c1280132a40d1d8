"""Each distribution is the one that SciPy knows, and its values are those that were meant."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from clinicadl.config.search import Choices, Normal, Range
from clinicadl.draws import generator
from clinicadl.search.laws import law

N = 1200


def values(written, *, are_integers=False):
    how = law(written, are_integers=are_integers)
    draws = (how.draw(generator(1, "a law", sample=i)) for i in range(N))
    return [how.value(raw) for raw in draws]


@pytest.mark.parametrize(
    ("written", "reference"),
    [
        (Range(low=0.1, high=0.5), stats.uniform(0.1, 0.4)),
        (Range(low=1e-5, high=1e-1, log=True), stats.loguniform(1e-5, 1e-1)),
        (Normal(normal=(2.0, 3.0)), stats.norm(2, 3)),
        (Normal(normal=(0.0, 1.0), low=-0.5, high=2), stats.truncnorm(-0.5, 2)),
        (Normal(normal=(1.0, 2.0), low=0), stats.truncnorm(-0.5, np.inf, 1, 2)),
    ],
    ids=["uniform", "log-uniform", "normal", "normal between ends", "normal with one end"],
)
def test_numbers_are_distributed_as_scipy_says(written, reference):
    assert stats.kstest(values(written), reference.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (Range(low=2, high=5), {2: 0.25, 3: 0.25, 4: 0.25, 5: 0.25}),
        (Range(low=1, high=8, step=3), {1: 1 / 3, 4: 1 / 3, 7: 1 / 3}),
        (
            Range(low=1, high=4, log=True),
            {k: math.log((k + 0.5) / (k - 0.5)) / math.log(9) for k in (1, 2, 3, 4)},
        ),
        (
            Normal(normal=(5, 1), low=4, high=6),
            {
                k: stats.truncnorm(-1, 1, 5, 1).cdf(k + 0.5)
                - stats.truncnorm(-1, 1, 5, 1).cdf(k - 0.5)
                for k in (4, 5, 6)
            },
        ),
    ],
    ids=str,
)
def test_whole_numbers_have_the_probabilities_of_a_hand_calculation(written, expected):
    found = values(written, are_integers=True)
    assert {type(one) for one in found} == {int} and set(found) == set(expected)
    counts = [found.count(one) for one in expected]
    assert stats.chisquare(counts, [N * share for share in expected.values()]).pvalue > 1e-3


def test_choices_of_any_type_are_equally_likely():
    written = Choices(choice=("Adam", None, 3, ["a", "b"], {"name": "cosine"}))
    found = values(written)
    counts = [sum(one == value for one in found) for value in written.choice]
    assert sum(counts) == N
    assert stats.chisquare(counts).pvalue > 1e-3


def test_steps_are_the_decimal_numbers_that_were_written():
    found = set(values(Range(low=0.1, high=0.75, step=0.1)))
    assert found == {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7}


@given(
    low=st.floats(1e-6, 1e6), factor=st.floats(1.001, 1e6), is_log=st.booleans(),
    are_integers=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_what_is_drawn_lies_within_the_ends_and_optuna_agrees(
    low, factor, is_log, are_integers, seed
):
    high = low * factor
    if are_integers:
        low, high = math.ceil(low), math.ceil(high)
        assume(low < high)
    how = law(Range(low=low, high=high, log=is_log), are_integers=are_integers)
    raw = how.draw(generator(seed, "a law"))
    first, last = how.ends()
    assert first <= raw <= last and how.value(raw) == raw
    assert how.optuna()._contains(how.optuna().to_internal_repr(raw))


@pytest.mark.parametrize(
    "written",
    [Normal(normal=(0, 1)), Normal(normal=(0, 1), low=0), Normal(normal=(0, 1), high=0)],
    ids=str,
)
def test_the_ends_of_an_endless_distribution_are_numbers(written):
    how = law(written, are_integers=False)
    first, last = (how.value(raw) for raw in how.ends())
    assert math.isfinite(first) and math.isfinite(last) and first < last
    # A sampler that learns may answer with the very ends of its line.
    assert how.value(0.0) == first and how.value(1.0) == last
