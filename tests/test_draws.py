"""Random streams: the same key, the same stream; another key, another stream."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.draws import generator, key

numbers = st.integers(0, 2**32 - 1)
keys = st.tuples(numbers, st.text(max_size=20), numbers, numbers)


@given(keys)
def test_the_same_key_gives_the_same_stream(parts):
    assert np.array_equal(generator(*parts).random(5), generator(*parts).random(5))


@given(keys, keys)
def test_two_keys_give_two_streams(one, other):
    if one != other and "/" not in one[1] + other[1]:
        assert key(*one) != key(*other)
        assert not np.array_equal(generator(*one).random(5), generator(*other).random(5))


def test_streams_of_neighbouring_samples_are_independent():
    draws = np.array([generator(0, "noise", sample=i).standard_normal() for i in range(2000)])
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.08  # 3.5 standard errors
    assert abs(draws.mean()) < 0.08


def test_streams_never_change_between_releases():
    # Splits and weights of finished experiments hang on these numbers.
    assert key(0, "order", 1, 2) == 24456227803382483551245177644862697132
    assert generator(0, "order", 1, 2).integers(1000, size=3).tolist() == [576, 531, 113]
