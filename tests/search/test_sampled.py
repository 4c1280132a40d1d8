"""What is drawn follows from the number, the seed and earlier rounds, and a sampler learns."""

from __future__ import annotations

import math
from statistics import median

import pytest

from clinicadl.config.search import SearchConfig
from clinicadl.search.journal import optuna_module
from clinicadl.search.laws import Numbers, OneOf
from clinicadl.search.sampled import Anywhere, asked
from clinicadl.search.space import items, point

RATE, KIND = "optimization.learning_rate", "optimization.optimizer"
WRITTEN = {
    "optimization": {
        "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
        "optimizer": ["Adam", "SGD"],
    }
}


def worth(raw):
    """Best is a rate of 0.001 with Adam, which is worth 0."""
    return (math.log10(raw[RATE]) + 3) ** 2 + (raw[KIND] != "Adam")


def search(sign, *, n_trials=30, **settings):
    """Play a search of trials that cost nothing; return what each is worth."""
    config = SearchConfig(n_trials=n_trials, experiment=WRITTEN, **settings)
    of, trials = items(WRITTEN), []
    laws = {one.name: one.law.optuna() for one in of if one.law}
    for numbers in config.rounds():
        earlier = list(trials)
        for number in numbers:
            who = asked(config, number, earlier, higher_is_better=sign < 0)
            raw = point(of, who).raw
            trials.append(
                optuna_module().trial.create_trial(
                    value=sign * worth(raw), params=raw, distributions=laws
                )
            )
    return [one.params for one in trials]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_search_that_learns_ends_nearer_to_the_best_than_one_that_does_not(sign):
    learnt = [worth(raw) for raw in search(sign, n_startup=10)]
    drawn = [worth(raw) for raw in search(sign, sampler="random")]
    assert learnt[:10] == drawn[:10]  # the first are drawn anywhere
    assert median(learnt[15:]) < median(drawn[15:]) / 4


def test_it_is_the_same_each_time_and_another_seed_is_another_search():
    assert search(1, n_trials=15) == search(1, n_trials=15)
    assert search(1, n_trials=15) != search(1, n_trials=15, seed=1)


def test_a_longer_search_begins_as_the_shorter_one():
    assert search(1, n_trials=15, n_startup=5) == search(1, n_trials=30, n_startup=5)[:15]


def test_another_setting_shifts_no_draw():
    rate = Numbers(1e-5, 1e-1, is_log=True)
    alone, beside = Anywhere(3, 7), Anywhere(3, 7)
    beside.ask(KIND, OneOf(("Adam", "SGD")))
    assert alone.ask(RATE, rate) == beside.ask(RATE, rate)


def test_the_first_round_learns_from_nothing():
    assert len(search(1, n_trials=5, n_startup=0)) == 5
