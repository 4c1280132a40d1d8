"""How much of the differences between trials goes with one setting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st
from scipy import stats

from clinicadl.draws import generator
from clinicadl.statistics.importance import importances
from clinicadl.statistics.paired import holm


def trials(n, seed=0):
    stream = generator(seed, "test")
    return [
        {"rate": float(stream.random()), "name": "abc"[int(stream.integers(3))],
         "switch": bool(stream.integers(2))}
        for _ in range(n)
    ]  # fmt: skip


def test_it_is_that_of_kruskal_and_wallis():
    settings = trials(40)
    values = generator(1, "test").standard_normal(40)
    found = {one.name: one for one in importances(settings, values)}
    p_values = {}
    for name in ("name", "switch"):
        groups = [
            [value for value, one in zip(values, settings, strict=True) if one[name] == level]
            for level in {one[name] for one in settings}
        ]
        statistic, p_values[name] = stats.kruskal(*groups)
        # Epsilon squared: one minus the ratio of the mean squares within and in total, of ranks.
        ranks = stats.rankdata(values)
        levels = {one[name] for one in settings}
        apart = [ranks[[one[name] == level for one in settings]] for level in levels]
        within = sum(((own - own.mean()) ** 2).sum() for own in apart)
        k = len(groups)
        expected = 1 - (within / (40 - k)) / (ranks.var(ddof=1))
        assert found[name].share == pytest.approx(max(0, expected), abs=1e-12)
        assert found[name].share == pytest.approx(max(0, (statistic - k + 1) / (40 - k)), abs=1e-12)
    quartile = np.searchsorted(
        np.quantile([one["rate"] for one in settings], [0.25, 0.5, 0.75]),
        [one["rate"] for one in settings],
    )
    p_values["rate"] = stats.kruskal(*(values[quartile == one] for one in range(4))).pvalue
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    assert {name: one.p for name, one in found.items()} == pytest.approx(corrected)


def test_what_decides_comes_first_whatever_its_form():
    settings = trials(60, seed=2)
    hill = [-abs(one["rate"] - 0.5) + 0.01 * i / 60 for i, one in enumerate(settings)]
    first = importances(settings, hill)[0]
    assert (first.name, first.n_trials) == ("rate", 60)
    assert first.share > 0.5
    assert first.p < 1e-6
    named = importances(settings, ["abc".index(one["name"]) for one in settings])[0]
    assert (named.name, named.share) == ("name", pytest.approx(1.0))


def test_a_setting_is_judged_by_the_trials_that_have_it():
    settings = [{"always": i % 2, **({"rarely": i} if i < 6 else {})} for i in range(30)]
    found = {one.name: one for one in importances(settings, list(range(30)))}
    assert (found["always"].n_trials, found["rarely"].n_trials) == (30, 6)


def test_one_value_or_one_trial_says_nothing():
    (one,) = importances([{"rate": 1.0}] * 5, [1, 2, 3, 4, 5])
    assert one.share == 0
    assert np.isnan(one.p)
    (one,) = importances([{"rate": i} for i in range(5)], [1.0] * 5)
    assert (one.share, np.isnan(one.p)) == (0, True)
    assert importances([], []) == []


@with_settings(max_examples=20)
@given(st.integers(0, 2**16), st.integers(5, 40))
def test_a_share_is_a_share_and_knows_no_scale(seed, n):
    settings, values = trials(n, seed), generator(seed, "values").standard_normal(n)
    found = importances(settings, values)
    assert all(0 <= one.share <= 1 for one in found)
    assert [one.share for one in importances(settings, np.exp(3 * values))] == pytest.approx(
        [one.share for one in found]
    )


def test_of_settings_that_do_nothing_one_looks_important_in_five_of_a_hundred_searches():
    stream = generator(3, "test")
    n = 300
    seen = sum(
        any(one.p < 0.05 for one in importances(trials(30, seed), stream.standard_normal(30)))
        for seed in range(n)
    )
    assert stats.binomtest(seen, n, 0.05, alternative="greater").pvalue > 0.01
