"""Pairs of images that show one head are told, and strangers are not."""

from __future__ import annotations

import sys
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinicadl.draws import generator
from clinicadl.guard.likeness import LEAST_PARTICIPANTS, LEAST_SIMILARITY, alike, can_be_judged
from clinicadl.layouts import images, signatures
from clinicadl.layouts.signatures import Signature

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SESSION = "ses-M000"


def heads(n, *, first=0, prefix="sub-A", noise=0.0, turned=()):
    """Return signatures that share most and have something of their own."""
    shared = generator(1, "shared").normal(0, 30, signatures.n_places())
    found = {}
    for number in range(first, first + n):
        own = generator(2, "own", sample=number).normal(0, 20, signatures.n_places())
        again = generator(3, f"noise/{prefix}", sample=number).normal(0, 1, signatures.n_places())
        values = np.clip(shared + own + noise * again, -124, 124).astype(np.int8)
        values = signatures.mirrored(values) if number in turned else values
        found[f"{prefix}{number:03d}z", SESSION] = Signature(values, f"{prefix}{number}")
    return found


def named(pairs):
    return [(pair.one[0], pair.other[0]) for pair in pairs]


def test_strangers_are_not_alike_though_most_of_them_is_shared():
    assert alike(heads(40)) == []
    assert alike(heads(15), heads(30, first=100, prefix="sub-B")) == []


def test_the_same_head_under_another_name_is_told_with_its_correlation():
    known, again = heads(30), heads(1, first=7, prefix="sub-B", noise=20)
    (pair,) = alike(again, known)
    assert (pair.one[0], pair.other[0]) == ("sub-B007z", "sub-A007z")
    table = np.stack([one.values for one in known.values()]).astype(float)
    mean = table.mean(axis=0)
    (values,) = (one.values for one in again.values())
    expected = np.corrcoef(values - mean, table[7] - mean)[0, 1]
    assert pair.similarity == pytest.approx(expected, abs=1e-5)


def test_a_pair_within_one_set_is_told_once():
    both = {**heads(30), **heads(2, first=4, prefix="sub-B", noise=20)}
    assert sorted(named(alike(both))) == [
        ("sub-A004z", "sub-B004z"), ("sub-A005z", "sub-B005z"),
    ]  # fmt: skip


def test_left_and_right_may_be_exchanged():
    again = heads(1, first=7, prefix="sub-B", noise=10, turned=(7,))
    shared = {key: Signature(signatures.mirrored(signatures.mirrored(one.values)), one.content)
              for key, one in heads(30).items()}  # fmt: skip
    symmetric = {key: _symmetrized(one) for key, one in {**shared, **again}.items()}
    known = {key: symmetric[key] for key in shared}
    assert named(alike({key: symmetric[key] for key in again}, known)) == [
        ("sub-B007z", "sub-A007z")
    ]


def _symmetrized(one: Signature) -> Signature:
    """Take away what all share that is not the same left and right, as brains have little of."""
    shared = generator(1, "shared").normal(0, 30, signatures.n_places()).astype(np.int8)
    left = one.values.astype(int) - shared
    right = one.values.astype(int) - signatures.mirrored(shared)
    return Signature((left if left.std() < right.std() else right).astype(np.int8), one.content)


def test_the_visits_of_one_participant_are_no_pair_in_any_spelling():
    known, again = heads(30), heads(1, first=7, prefix="sub-B", noise=20)
    (values,) = again.values()
    for name in ("sub-A007z", "A7z", "sub-A7z"):
        assert alike({(name, "ses-M012"): values}, known) == []


def test_with_too_few_people_nobody_is_judged_but_equal_voxels_are_told():
    few = heads(LEAST_PARTICIPANTS - 1)
    assert not can_be_judged(few)
    assert alike(heads(1, first=3, prefix="sub-B", noise=20), few) == []
    same = {("sub-X", SESSION): few["sub-A003z", SESSION]}
    (pair,) = alike(same, few)
    assert pair == (("sub-X", SESSION), ("sub-A003z", SESSION), 1.0)


def test_images_without_a_head_are_like_nobody():
    blank = Signature(np.zeros(signatures.n_places(), np.int8), "blank")
    known = {
        **heads(20),
        **{(f"sub-Z{n}", SESSION): blank._replace(content=f"{n}") for n in (1, 2)},
    }
    assert alike(known) == []


def test_nothing_is_like_nothing():
    assert alike({}) == [] and alike({}, heads(20)) == [] and alike(heads(20), {}) == []


@settings(max_examples=10)
@given(st.permutations(range(25)))
def test_the_order_of_the_images_tells_nothing(order):
    both = {**heads(24), **heads(1, first=4, prefix="sub-B", noise=20)}
    keys = list(both)
    (pair,) = alike({keys[i]: both[keys[i]] for i in order})
    assert {pair.one[0], pair.other[0]} == {"sub-A004z", "sub-B004z"}


def test_where_strangers_are_much_alike_more_is_asked_of_a_pair():
    # Two kinds of heads, as raw images in two positions of the head are: strangers of one kind
    # correlate far beyond the floor.
    kinds = generator(4, "kinds").normal(0, 60, (2, signatures.n_places()))
    known = {
        key: Signature(np.clip(one.values + kinds[i % 2], -124, 124).astype(np.int8), one.content)
        for i, (key, one) in enumerate(heads(40).items())
    }
    values = np.stack([one.values for one in known.values()]).astype(float)
    assert np.corrcoef(values - values.mean(axis=0))[0, 2] > LEAST_SIMILARITY
    assert alike(known) == []


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return run_path(str(BENCHMARKS / "signatures.py"))
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.data
def test_on_real_heads_strangers_are_never_flagged_and_re_scans_are_found(real_data, bench):
    people = bench["read_ixi"](real_data)
    known = bench["signed"](people)
    # All 7,750 pairs: none is flagged but the one person who is there twice.
    (pair,) = alike(known)
    assert {pair.one[0], pair.other[0]} == {*bench["TWICE"]}
    assert pair.similarity > 0.4
    table = bench["correlations"](np.stack([one.values for one in known.values()]).astype(float))
    others = np.sort(table[np.triu_indices(len(table), 1)])[:-1]
    assert others.max() < LEAST_SIMILARITY - 0.02
    again = bench["signed_again"](people, mm=2.0, degrees=2.0)
    pairs = alike(again, known)
    right = {pair.one for pair in pairs if pair.one[0] == bench["_again"](pair.other[0])}
    wrong = [
        pair for pair in pairs
        if pair.one[0] != bench["_again"](pair.other[0]) and pair.other[0] not in bench["TWICE"]
    ]  # fmt: skip
    assert len(right) >= 0.95 * len(people)
    assert wrong == []
    # One alone, against all the others: nobody needs a whole cohort to be found again.
    alone = [alike({key: one}, known) for key, one in list(again.items())[:10]]
    assert all(found and found[0].one[0] == bench["_again"](found[0].other[0]) for found in alone)


@pytest.mark.data
def test_real_heads_mirrored_or_at_other_voxels_are_found(real_data, bench):
    people = bench["read_ixi"](real_data)
    known = bench["signed"](people)
    who, image = next(iter(people.items()))
    for voxels in (image.voxels[::-1], image.voxels.round(), image.voxels * 7):
        one = signatures.of(np.ascontiguousarray(voxels), image.affine)
        assert named(alike({("sub-X", SESSION): one}, known)) == [("sub-X", who)]


@pytest.mark.data
def test_a_raw_image_is_not_found_in_another_space(real_data, bench):
    known = bench["signed"](bench["read_ixi"](real_data))
    raw = sorted((real_data / "ixi-bids-2mm").glob("sub-*/ses-*/anat/*_T1w.nii.gz"))
    native = {
        (f"sub-RAW{path.name[7:10]}", SESSION): signatures.of(*images.read(path)[:2])
        for path in raw
    }
    assert len(native) == 24
    assert alike(native, known) == []
