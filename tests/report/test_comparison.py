"""Whether trained models differ, from each other and from what needs no image."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, log_loss, roc_auc_score

from clinicadl import CompareConfig, compare, read_experiment, train
from clinicadl.config.read import settings
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError, UsageError
from clinicadl.layouts.maps import folder, names, outcomes
from clinicadl.layouts.maps.outcomes import Level, Results
from clinicadl.statistics.baselines import PENALTIES, folds_of
from clinicadl.statistics.intervals import resamples
from clinicadl.statistics.paired import holm
from clinicadl.statistics.ranking import delong

NODES = np.array([0, 1] * 10)


def predictions(seed, nodes=NODES, *, people=None):
    """What a model says that is better than chance."""
    draws = np.random.default_rng(seed)
    logits = draws.normal(size=len(nodes)) + np.where(nodes == 0, 0.8, -0.8)
    proba0 = 1 / (1 + np.exp(-logits))
    people = [f"sub-P{i:02}" for i in range(len(nodes))] if people is None else people
    sessions = pd.Series(people).groupby(people).cumcount()
    return pd.DataFrame({
        "participant_id": people, "session_id": [f"ses-M{12 * i:03}" for i in sessions],
        "image_id": 0, "true_label": nodes, "predicted_label": (proba0 < 0.5).astype(int),
        "proba0": proba0, "proba1": 1 - proba0,
    })  # fmt: skip


def write(maps, table, group="new", *, split=0, accepted=None, level="image"):
    with outcomes.new_results(maps, split, "loss", group) as target:
        verdict = {"accepted": accepted, "findings": []}
        marked = table if accepted is None else table.assign(accepted_leakage=accepted)
        results = Results({level: Level(marked, None)}, verdict, "")
        outcomes.write_results(target, group, results)


@pytest.fixture
def one(trained):
    write(trained, predictions(1))
    return trained


@pytest.fixture
def known(one):
    """A model whose train is in the same table of covariates as the data group."""
    write(one, predictions(9), "train")
    return one


@pytest.fixture
def other(trained_once, tmp_path):
    maps = shutil.copytree(trained_once, tmp_path / "other")
    write(maps, predictions(2))
    return maps


def with_second_split(*several):
    """Give each MAPS a second split: the first one, and what it says, once more."""
    for maps in several:
        shutil.copytree(maps / "split-0", maps / "split-1")
        for group in names.OWN_GROUPS:
            source = names.group(maps, group, 0)
            shutil.copytree(source, names.group(maps, group, 1), dirs_exist_ok=True)


def config(*maps, **more):
    return settings(CompareConfig, {"maps": maps, "group": "new", **more})


def rows(found, test, second="other", split="0"):
    table = found.table
    chosen = (table["test"] == test) & (table["second"] == second) & (table["split"] == split)
    return table[chosen].set_index("metric")


REFERENCES = {
    "BA": lambda true, table: balanced_accuracy_score(true, table["predicted_label"]),
    "Brier": lambda true, table: brier_score_loss(true == 0, table["proba0"]),
    "AUC": lambda true, table: roc_auc_score(true == 0, table["proba0"]),
}


@pytest.mark.parametrize("metric", REFERENCES)
def test_a_difference_is_that_of_scikit_learn_on_the_same_resamples(one, other, metric):
    reference, tables = REFERENCES[metric], (predictions(1), predictions(2))
    asked = config(one, other, interval="percentile")
    found = rows(compare(asked), "paired bootstrap").loc[metric]
    values = [reference(NODES, table) for table in tables]
    np.testing.assert_allclose([found["first_value"], found["second_value"]], values, rtol=1e-12)
    assert found["difference"] == pytest.approx(values[0] - values[1])
    each = []
    for times in next(resamples(0, 20, 3000)).astype(int):
        drawn = np.repeat(np.arange(20), times)
        if len(set(NODES[drawn])) == 2:
            each.append([reference(NODES[drawn], table.iloc[drawn]) for table in tables])
        if len(each) == 400:
            break
    each = np.array(each)
    # 400 of the 3000 resamples: the limits differ by the noise of the drawing.
    for column, side in (("first", each[:, 0]), ("second", each[:, 1])):
        low, high = np.percentile(side, [2.5, 97.5])
        assert found[f"{column}_low"] == pytest.approx(low, abs=0.06)
        assert found[f"{column}_high"] == pytest.approx(high, abs=0.06)
    low, high = np.percentile(each[:, 0] - each[:, 1], [2.5, 97.5])
    assert found["difference_low"] == pytest.approx(low, abs=0.08)
    assert found["difference_high"] == pytest.approx(high, abs=0.08)


def test_values_and_intervals_are_those_of_the_metrics_table(one, other):
    task = folder.open_maps(one).record.config.task.build({"AD": 0, "CN": 1})
    table = task.table(predictions(1).assign(loss=0.0), seed=0)
    found = rows(compare(config(one, other)), "paired bootstrap")
    for metric in ("BA", "accuracy", "F1_score", "MCC", "LR_minus"):
        cells = found.loc[metric, ["first_value", "first_low", "first_high"]]
        np.testing.assert_allclose(cells.to_list(), table[metric][:3].to_list(), rtol=1e-12)


def test_bca_intervals_are_those_of_scipy(one, other):
    found = rows(compare(config(one, other)), "paired bootstrap").loc["Brier"]
    gaps = [(table["proba0"] - (NODES == 0)) ** 2 for table in (predictions(1), predictions(2))]
    for column, values in (("first", gaps[0]), ("difference", gaps[0] - gaps[1])):
        theirs = stats.bootstrap(
            (values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(0)
        ).confidence_interval
        # The noise of 3000 resamples.
        limits = found[[f"{column}_low", f"{column}_high"]].to_list()
        np.testing.assert_allclose(limits, [theirs.low, theirs.high], atol=0.015)
    asked = config(one, other, interval="percentile")
    plain = rows(compare(asked), "paired bootstrap").loc["Brier"]
    assert plain["p"] == found["p"]
    assert plain["first_high"] != found["first_high"]


def test_p_values_are_corrected_for_the_number_of_metrics(one, other):
    found = rows(compare(config(one, other)), "paired bootstrap")
    np.testing.assert_allclose(found["p_holm"], holm(found["p"].to_list()))
    assert len(found) == 14  # eleven metrics, AUC, Brier, ECE


def test_mcnemar_and_delong_are_those_of_the_tables(one, other):
    first, second = predictions(1), predictions(2)
    second["predicted_label"] = np.where(np.arange(20) < 9, 1 - NODES, NODES)
    write(other, second)
    found = compare(config(one, other))
    right = [(table["predicted_label"] == NODES).to_numpy() for table in (first, second)]
    b, c = (right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()
    exact = rows(found, "McNemar, exact").loc["accuracy"]
    assert exact["p"] == pytest.approx(stats.binomtest(b, b + c).pvalue)
    assert rows(found, "McNemar, mid-p").loc["accuracy", "p"] < exact["p"]
    area = rows(found, "DeLong").loc["AUC"]
    expected = delong(NODES == 0, first["proba0"].to_numpy(), second["proba0"].to_numpy())
    assert area["p"] == pytest.approx(expected.p)
    assert area["first_value"] == pytest.approx(roc_auc_score(NODES == 0, first["proba0"]))


def test_with_repeated_visits_participants_are_what_is_independent(one, other):
    people = np.repeat([f"sub-P{i:02}" for i in range(10)], 2)
    nodes = np.repeat([0, 1] * 5, 2)
    for maps, seed in ((one, 1), (other, 2)):
        write(maps, predictions(seed, nodes, people=people))
    found = compare(config(one, other))
    assert set(found.table["test"]) == {"paired bootstrap", "DeLong, clustered"}
    assert [one for one in found.remarks if "McNemar's test takes images for independent" in one]
    area = rows(found, "DeLong, clustered").loc["AUC"]
    scores = [predictions(seed, nodes, people=people)["proba0"].to_numpy() for seed in (1, 2)]
    expected = delong(nodes == 0, *scores, np.repeat(np.arange(10), 2))
    assert area["p"] == pytest.approx(expected.p)
    assert area["difference_low"] == pytest.approx(expected.low)
    # The AUC is drawn by participants too.
    drawn = next(resamples(0, 10, 3000)).astype(int)[:200]
    each = []
    for times in drawn:
        chosen = np.repeat(np.arange(20), np.repeat(times, 2))
        if len(set(nodes[chosen])) == 2:
            said = predictions(1, nodes, people=people)["proba0"].to_numpy()[chosen]
            each.append(roc_auc_score(nodes[chosen] == 0, said))
    row = rows(found, "paired bootstrap").loc["AUC"]
    assert row["first_low"] == pytest.approx(np.percentile(each, 2.5), abs=0.1)


def test_the_order_of_the_rows_is_of_no_account(one, other):
    before = compare(config(one, other)).table
    write(other, predictions(2).sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(compare(config(one, other)).table, before)


def test_a_model_does_not_differ_from_itself(one, tmp_path):
    same = shutil.copytree(one, tmp_path / "same")
    found = rows(compare(config(one, same)), "paired bootstrap", "same")
    assert (found["difference"] == 0).all()
    assert (found["p"] == 1).all()


def test_the_baseline_of_the_majority_says_the_class_that_train_has_most_of(one):
    said = predictions(3, np.array([0] * 3 + [1] * 9), people=[f"sub-T{i:02}" for i in range(12)])
    write(one, said, "train")
    found = rows(compare(config(one)), "paired bootstrap", "majority class")
    assert found.loc["BA", "second_value"] == 0.5
    assert found.loc["sensitivity", "second_value"] == 0
    # Always 0.25 of a class that half of the group has.
    assert found.loc["Brier", "second_value"] == pytest.approx((0.75**2 + 0.25**2) / 2)


def test_the_baseline_of_covariates_is_fitted_on_train_alone(one, tmp_path):
    draws = np.random.default_rng(5)
    train_nodes = np.array([0, 1] * 8)
    train_people = [f"sub-T{i:02}" for i in range(16)]
    write(one, predictions(3, train_nodes, people=train_people), "train")
    nodes, people = np.concatenate([train_nodes, NODES]), [*train_people, *predictions(1)[
        "participant_id"]]  # fmt: skip
    age = np.where(nodes == 0, 75, 68) + draws.normal(0, 5, len(nodes))
    sex = np.array(["F", "M"])[draws.integers(2, size=len(nodes))]
    pd.DataFrame(
        {"participant_id": people, "session_id": "ses-M000", "age": age, "sex": sex}
    ).to_csv(tmp_path / "people.tsv", sep="\t", index=False)
    found = compare(config(one, covariates_tsv=tmp_path / "people.tsv"))
    z = (age - age[:16].mean()) / age[:16].std()
    features = np.stack([z, sex == "F", sex == "M"], axis=1).astype(float)
    folds = folds_of(np.array(train_people), train_nodes, seed=0)
    losses = dict.fromkeys(PENALTIES, 0.0)
    for penalty, k in product(PENALTIES, range(5)):
        held = folds == k
        z = (age[:16] - age[:16][~held].mean()) / age[:16][~held].std()
        within = np.stack([z, sex[:16] == "F", sex[:16] == "M"], axis=1).astype(float)
        model = LogisticRegression(C=1 / penalty, tol=1e-10)
        said = model.fit(within[~held], train_nodes[~held]).predict_proba(within[held])
        losses[penalty] += log_loss(train_nodes[held], said, labels=[0, 1], normalize=False)
    best = min(losses, key=losses.get)
    theirs = LogisticRegression(C=1 / best, tol=1e-10).fit(features[:16], train_nodes)
    row = rows(found, "paired bootstrap", "age + sex")
    expected = roc_auc_score(NODES, theirs.predict_proba(features[16:])[:, 1])
    assert row.loc["AUC", "second_value"] == pytest.approx(expected)
    assert not found.remarks
    table = pd.read_csv(tmp_path / "people.tsv", sep="\t", dtype=str)
    table.loc[20, "age"] = "n/a"
    table.to_csv(tmp_path / "people.tsv", sep="\t", index=False)
    said = compare(config(one, covariates_tsv=tmp_path / "people.tsv")).remarks
    assert said[0].startswith("age is missing for 1 of 20 images of new")


@pytest.mark.parametrize(
    ("header", "more", "kind", "named"),
    [
        ("height", {}, MissingInputError, "none of age, sex and site"),
        ("age", {"confounds": ["income"]}, MissingInputError, "income"),
        ("diagnosis", {"confounds": ["diagnosis"]}, UsageError, "what the models have learnt"),
        ("age", {}, InvalidDataError, "knows nothing of train"),
    ],
)
def test_covariates_that_cannot_be_used_are_refused(one, tmp_path, header, more, kind, named):
    path = tmp_path / "people.tsv"
    path.write_text(f"participant_id\tsession_id\t{header}\nsub-X\tses-M000\t5\n")
    with pytest.raises(kind, match=named):
        compare(config(one, covariates_tsv=path, **more))


def people_of(path, **columns):
    people = predictions(1)["participant_id"]
    pd.DataFrame({"participant_id": people, "session_id": "ses-M000", **columns}).to_csv(
        path, sep="\t", index=False
    )
    return path


def of_subgroups(found):
    table = found.table[found.table["test"] == "bootstrap of subgroups"]
    return table.set_index(["first", "second", "metric"])


def test_each_subgroup_is_compared_with_the_others(known, tmp_path, limits_by_hand):
    sex, site = ["F", "F", "M", "M"] * 5, ["a"] * 6 + ["b"] * 6 + ["c"] * 8
    path = people_of(tmp_path / "people.tsv", sex=sex, site=site, age=np.arange(20) + 60)
    found = compare(config(known, covariates_tsv=path, subgroups=["sex", "site"]))
    table, said = of_subgroups(found), predictions(1)
    assert list(dict.fromkeys(table.reset_index()["first"])) == [
        "maps, sex F", "maps, site a", "maps, site b", "maps, site c"
    ]  # fmt: skip
    for first, second, is_in in (
        ("maps, sex F", "sex M", np.array(sex) == "F"),
        ("maps, site b", "not site b", np.array(site) == "b"),
    ):
        row = table.loc[(first, second, "Brier")]
        errors = (said["proba0"] - (NODES == 0)) ** 2
        assert row["first_value"] == pytest.approx(errors[is_in].mean())
        assert row["second_value"] == pytest.approx(errors[~is_in].mean())

        def difference(times, is_in=is_in, errors=errors):
            inside, outside = times * is_in, times * ~is_in
            return inside @ errors / inside.sum() - outside @ errors / outside.sum()

        each = [
            difference(times) for times in next(resamples(0, 20, 3000))
            if (times * is_in).any() and (times * ~is_in).any()
        ]  # fmt: skip
        left_out = [difference(times) for times in 1 - np.eye(20)]
        expected = limits_by_hand(difference(np.ones(20)), each, left_out)[:2]
        np.testing.assert_allclose(
            row[["difference_low", "difference_high"]].to_list(), expected, rtol=1e-9
        )
    np.testing.assert_allclose(table["p_holm"], holm(table["p"].to_list()))


def test_ages_are_cut_into_three_bands_and_codes_are_names(known, tmp_path):
    age = np.concatenate([np.arange(60, 78), [np.nan, np.nan]])
    path = people_of(tmp_path / "people.tsv", age=age, sex=[1, 1, 2, 2] * 5)
    found = compare(config(known, covariates_tsv=path, subgroups=["age", "sex"], interval="bca"))
    assert list(dict.fromkeys(of_subgroups(found).reset_index()["first"])) == [
        "maps, age below 65.67", "maps, age 65.67 to 71.33", "maps, age from 71.33", "maps, sex 1"
    ]  # fmt: skip
    assert "2 images have no age and are in no subgroup by it" in found.remarks


def test_subgroups_that_are_too_small_or_lack_a_class_are_left_out(known, tmp_path):
    scanner = np.where(NODES == 0, "x", "y")
    site = ["a"] * 4 + ["b"] * 16
    path = people_of(tmp_path / "people.tsv", scanner=scanner, site=site, nothing="n/a")
    found = compare(
        config(known, covariates_tsv=path, subgroups=["scanner", "site", "nothing"])
    )  # fmt: skip
    assert of_subgroups(found).empty
    assert "The subgroup scanner x is left out: scanner x lacks a class" in found.remarks
    assert (
        "The subgroup site a is left out: site a has 4 participants, and 5 are needed"
        in found.remarks
    )
    assert "20 images have no nothing and are in no subgroup by it" in found.remarks


def test_other_participants_are_refused_by_name(one, other):
    write(other, predictions(2).replace("sub-P03", "sub-Q03"))
    with pytest.raises(InvalidDataError, match="sub-P03 ses-M000, sub-Q03 ses-M000") as refused:
        compare(config(one, other))
    assert refused.value.exit_code == 65


def test_other_labels_are_refused_by_name(one, other):
    table = predictions(2)
    table.loc[3, "true_label"] = 0
    write(other, table)
    with pytest.raises(InvalidDataError, match="labels of the data group new.*sub-P03"):
        compare(config(one, other))


def test_results_without_labels_are_refused(one, other):
    for maps in (one, other):
        write(maps, predictions(2).assign(true_label=-1))
    with pytest.raises(InvalidDataError, match="made without labels"):
        compare(config(one, other))


def test_one_participant_is_refused(one):
    write(one, predictions(1).head(1))
    with pytest.raises(InvalidDataError, match="one participant"):
        compare(config(one))


def test_a_group_without_results_is_refused_and_the_known_ones_are_named(one, other):
    shutil.rmtree(names.results(other, 0, "loss", "new"))
    with pytest.raises(MissingInputError, match="split-0 by loss: train, validation") as refused:
        compare(config(one, other))
    assert str(other) in str(refused.value)
    with pytest.raises(MissingInputError, match="split 4"):
        compare(config(one, split=[4]))


def test_models_of_another_task_are_refused(one, regression):
    with pytest.raises(UsageError, match="their task differ.*regression, and classification"):
        compare(config(one, regression))


def test_models_are_never_compared_on_what_they_were_fitted_on(one):
    with pytest.raises(UsageError, match="never compared on what they were fitted on"):
        config(one, group="train")
    with pytest.raises(UsageError, match="name it with covariates_tsv"):
        config(one, confounds=["age"])
    with pytest.raises(UsageError, match="nothing to compare"):
        config()


def test_leakage_that_was_accepted_marks_every_row(one, other, tmp_path):
    write(other, predictions(2), accepted="only to see")
    found = compare(config(one, other, output=tmp_path / "out.tsv"))
    assert found.remarks[0] == ("LEAKAGE was accepted when these results were made: only to see")
    written = pd.read_csv(tmp_path / "out.tsv", sep="\t")
    assert (written["accepted_leakage"] == "only to see").all()
    assert [line for line in found.lines() if line.startswith("note: LEAKAGE")]


def test_the_output_is_what_was_found_and_is_not_overwritten_unasked(one, other, tmp_path):
    found = compare(config(one, other, output=tmp_path / "out.tsv"))
    written = pd.read_csv(tmp_path / "out.tsv", sep="\t", dtype={"split": str})
    pd.testing.assert_frame_equal(written, found.table, check_dtype=False)
    with pytest.raises(OutputError) as refused:
        compare(config(one, other, output=tmp_path / "out.tsv"))
    assert refused.value.exit_code == 73
    compare(config(one, output=tmp_path / "out.tsv", overwrite=True))
    assert len(pd.read_csv(tmp_path / "out.tsv", sep="\t")) < len(written)


def test_several_splits_on_one_group_have_the_interval_of_their_mean(one, other):
    with_second_split(one, other)
    write(one, predictions(3), split=1)
    write(other, predictions(4), split=1)
    found = compare(config(one, other))
    mean = rows(found, "paired bootstrap", split="mean of splits 0, 1")
    of_splits = [rows(found, "paired bootstrap", split=split) for split in "01"]
    for column in ("first_value", "second_value", "difference"):
        expected = (of_splits[0][column] + of_splits[1][column]) / 2
        np.testing.assert_allclose(mean[column], expected, atol=1e-12)
    width = mean.loc["Brier", "difference_high"] - mean.loc["Brier", "difference_low"]
    assert width < max(one.loc["Brier", "difference_high"] - one.loc["Brier", "difference_low"]
                       for one in of_splits)  # fmt: skip
    assert "corrected t-test" not in set(found.table["test"])
    assert set(compare(config(one, other, split=[1])).table["split"]) == {"1"}


def test_over_validation_sets_the_t_test_is_corrected(one, other):
    with_second_split(one, other)
    seeds = iter(range(10, 14))
    for split in (0, 1):
        people = [f"sub-V{split}{i:02}" for i in range(20)]
        for maps in (one, other):
            said = predictions(next(seeds), people=people)
            write(maps, said, "validation", split=split)
            write(maps, predictions(0, np.array([0, 1] * 30)), "train", split=split)
    found = compare(config(one, other, group="validation"))
    row = rows(found, "corrected t-test", split="over splits 0, 1").loc["Brier"]
    by_split = [rows(found, "paired bootstrap", split=split).loc["Brier"] for split in "01"]
    differences = np.array([one["difference"] for one in by_split])
    t = differences.mean() / np.sqrt((1 / 2 + 20 / 60) * differences.var(ddof=1))
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(t), 1))
    assert found.remarks[0].startswith("Validation chose the epoch of each model")
    table = names.group_table(names.group(other, "train", 1))
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    left = compare(config(one, other, group="validation"))
    assert "corrected t-test" not in set(left.table["test"])
    assert [one for one in left.remarks if "not the same participants" in one]


@pytest.fixture(scope="module")
def regression(prepared_once, config_of, tmp_path_factory):
    maps = tmp_path_factory.mktemp("regression") / "maps"
    task = {"name": "regression", "label": ["age"], "selection_metrics": ["loss"]}
    train(config_of(prepared_once, task=task, optimization={"epochs": 1}), maps)
    return maps


def test_numbers_are_compared_and_the_mean_of_train_is_the_baseline(regression):
    found = compare(config(regression, group="validation"))
    row = rows(found, "paired bootstrap", "mean of train")
    assert list(row.index) == ["R2_score", "MAE", "RMSE", "MSE"]
    said = outcomes.read_predictions(regression, 0, "loss", "validation", "image")
    fitted = outcomes.read_predictions(regression, 0, "loss", "train", "image")
    errors = (said["true_label"] - fitted["true_label"].mean()).abs()
    assert row.loc["MAE", "second_value"] == pytest.approx(errors.mean())
    expected = (said["true_label"] - said["predicted_label"]).abs().mean()
    assert row.loc["MAE", "first_value"] == pytest.approx(expected)


def test_minus_one_is_a_number_like_others(regression, tmp_path):
    maps = shutil.copytree(regression, tmp_path / "maps")
    said = outcomes.read_predictions(maps, 0, "loss", "validation", "image")
    write(maps, said.assign(true_label=[-1.0, *said["true_label"][1:]]), "validation")
    assert len(compare(config(maps, group="validation")).table) == 4
    write(maps, said.assign(true_label=np.nan), "validation")
    with pytest.raises(InvalidDataError, match="made without labels"):
        compare(config(maps, group="validation"))


def test_of_three_classes_each_has_an_area_of_its_own(one):
    path = names.record(one)
    content = json.loads(path.read_text())
    content["label_code"] = {"AD": 0, "CN": 1, "MCI": 2}
    path.write_text(json.dumps(content))
    draws = np.random.default_rng(0)
    nodes, said = np.arange(20) % 3, draws.dirichlet(np.ones(3), 20)
    columns = {f"proba{node}": said[:, node] for node in range(3)}
    table = predictions(1).assign(true_label=nodes, predicted_label=said.argmax(1), **columns)
    for group in ("new", "train"):
        write(one, table, group)
    found = rows(compare(config(one)), "paired bootstrap", "majority class")
    assert {"BA-0", "BA-2", "AUC-0", "AUC-1", "AUC-2", "Brier"} <= set(found.index)
    for node in range(3):
        expected = roc_auc_score(nodes == node, said[:, node])
        assert found.loc[f"AUC-{node}", "first_value"] == pytest.approx(expected)
    squares = ((said - np.eye(3)[nodes]) ** 2).sum(1)
    assert found.loc["Brier", "first_value"] == pytest.approx(squares.mean())


def test_reconstructions_are_compared(prepared_once, tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        experiment = read_experiment(
            {
                "data": {
                    "caps_directory": prepared_once,
                    "preprocessing_json": "tiny",
                    "tsv_directory": prepared_once / "split" / "2_fold",
                },
                "task": {"name": "reconstruction", "selection_metrics": ["loss"]},
                "network": {"name": "AE_Conv4_FC3"},
                "optimization": {"epochs": 1},
                "validation": {"n_splits": 2, "split": [0]},
                "compute": {"n_proc": 0, "gpu": False},
                "reproducibility": {"seed": seed},
            }
        )
        train(experiment, tmp_path / name)
    found = compare(config(tmp_path / "a", tmp_path / "b", group="validation"))
    row = rows(found, "paired bootstrap", "b")
    assert list(row.index) == ["MAE", "RMSE", "PSNR", "SSIM", "MSE"]
    tables = [outcomes.read_predictions(tmp_path / name, 0, "loss", "validation", "image")
              for name in "ab"]  # fmt: skip
    expected = tables[0]["SSIM"].mean() - tables[1]["SSIM"].mean()
    assert row.loc["SSIM", "difference"] == pytest.approx(expected)


def test_the_command_prints_what_the_function_returns_and_needs_no_torch(one, other, tmp_path):
    code = (
        "import sys\nfrom clinicadl.cli.main import run\n"
        "try:\n    run(sys.argv[1:])\nfinally:\n    assert 'torch' not in sys.modules\n"
    )
    words = ["compare", one, other, "--group", "new", "--output", tmp_path / "out.tsv"]
    dry = subprocess.run(
        [sys.executable, "-c", code, *map(str, words), "--dry-run"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (dry.returncode, dry.stderr) == (0, "")
    assert "would compare: other, split 0, 20 images" in dry.stdout
    assert not (tmp_path / "out.tsv").exists()
    said = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stderr) == (0, "")
    found = compare(config(one, other))
    assert said.stdout.splitlines() == list(found.lines())
    written = pd.read_csv(tmp_path / "out.tsv", sep="\t", dtype={"split": str})
    pd.testing.assert_frame_equal(written, found.table, check_dtype=False)
