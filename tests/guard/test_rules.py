"""Every rule finds its leak, names the people, and leaves clean work alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.guard.facts import (
    Ancestor,
    Defined,
    EvaluationFacts,
    Seen,
    Severity,
    TrainingFacts,
    TrainingSplit,
)
from clinicadl.guard.rules import EVALUATION_RULES, TRAINING_RULES
from clinicadl.layouts.signatures import Signature, n_places

DOCS = Path(__file__).parents[2] / "docs" / "concepts" / "leakage.md"
RULES = {**TRAINING_RULES, **EVALUATION_RULES}


def visits(*participants, session="ses-M00"):
    return [(participant, session) for participant in participants]


def split(train, validation, number=0):
    return TrainingSplit(number, visits(*train), visits(*validation))


CLEAN_SPLIT = split(["sub-01", "sub-02"], ["sub-03"])
THIS = Seen("this MAPS", visits("sub-01", "sub-02", "sub-03"), {"a1": ("sub-01", "ses-M00")})
GROUP = visits("sub-04", "sub-05")


def shown(**content):
    """Signatures of images without a head, of which equal contents are told all the same."""
    blank = np.zeros(n_places(), np.int8)
    return {(f"sub-{who[1:]}", "ses-M00"): Signature(blank, one) for who, one in content.items()}


SHOWN = Seen("this MAPS", visits("sub-01"), signatures=shown(s01="a"))

# rule -> leaking facts, clean facts, who is named
EXAMPLES = {
    "shared-participants": (
        TrainingFacts([split(["sub-01", "sub-02"], ["sub-02"])]),
        TrainingFacts([CLEAN_SPLIT]),
        ("sub-02",),
    ),
    "shared-images": (
        TrainingFacts([CLEAN_SPLIT], hashes=dict.fromkeys(visits("sub-01", "sub-03"), "a1")),
        TrainingFacts([CLEAN_SPLIT], hashes=dict.fromkeys(visits("sub-01", "sub-02"), "a1")),
        ("sub-03",),
    ),
    "repeated-training-sessions": (
        TrainingFacts([split(["sub-01", "sub-02", "sub-01"], ["sub-03"])]),
        TrainingFacts([CLEAN_SPLIT]),
        ("sub-01",),
    ),
    "late-split": (
        TrainingFacts([CLEAN_SPLIT], visits("sub-03", "sub-09"), ["split/test_baseline.tsv"]),
        TrainingFacts([CLEAN_SPLIT], visits("sub-09"), ["split/test_baseline.tsv"]),
        ("sub-03",),
    ),
    "biased-transfer": (
        TrainingFacts([CLEAN_SPLIT], ancestors=[Ancestor("maps_source", 0, ["sub-03"])]),
        TrainingFacts([CLEAN_SPLIT], ancestors=[Ancestor("maps_source", 0, ["sub-01", "sub-02"])]),
        ("sub-03",),
    ),
    "spoilt-test-set": (
        TrainingFacts(
            [CLEAN_SPLIT],
            visits("sub-08", "sub-09"),
            ancestors=[Ancestor("maps_source", 0, [], visits("sub-09", session="ses-M12"))],
        ),
        TrainingFacts(
            [CLEAN_SPLIT],
            visits("sub-08", "sub-09"),
            ancestors=[Ancestor("maps_source", 0, [], visits("sub-03"))],
        ),
        ("sub-09",),
    ),
    "seen-participants": (
        EvaluationFacts("test", visits("sub-04", "sub-02", session="ses-M12"), [THIS]),
        EvaluationFacts("test", GROUP, [THIS]),
        ("sub-02",),
    ),
    "seen-sessions": (
        EvaluationFacts("test", visits("sub-04", "sub-02"), [THIS]),
        EvaluationFacts("test", visits("sub-02", session="ses-M12"), [THIS]),
        ("sub-02",),
    ),
    "seen-images": (
        EvaluationFacts("test", GROUP, [THIS], {GROUP[0]: "b2", GROUP[1]: "a1"}),
        EvaluationFacts("test", GROUP, [THIS], {GROUP[0]: "b2", GROUP[1]: "b3"}),
        ("sub-05",),
    ),
    "re-scanned-training-images": (
        TrainingFacts([CLEAN_SPLIT], signatures=shown(s01="a", s03="a")),
        TrainingFacts([CLEAN_SPLIT], signatures=shown(s01="a", s02="a", s03="b")),
        ("sub-03",),
    ),
    "re-scanned-images": (
        EvaluationFacts("test", GROUP, [SHOWN], signatures=shown(s04="b", s05="a")),
        EvaluationFacts("test", GROUP, [SHOWN], signatures=shown(s04="b", s05="c")),
        ("sub-05",),
    ),
    "repeated-sessions": (
        EvaluationFacts("test", [*GROUP, GROUP[0]]),
        EvaluationFacts("test", [*GROUP, ("sub-04", "ses-M12")]),
        ("sub-04",),
    ),
    "repeated-images": (
        EvaluationFacts("test", GROUP, hashes=dict.fromkeys(GROUP, "b2")),
        EvaluationFacts("test", GROUP, hashes={GROUP[0]: "b2", GROUP[1]: "b3"}),
        ("sub-05",),
    ),
    "sealed-group": (
        EvaluationFacts("again", GROUP, defined=[Defined("test", visits("sub-05"), True)]),
        EvaluationFacts("again", GROUP, defined=[Defined("test", visits("sub-09"), True)]),
        ("sub-05",),
    ),
    "second-look": (
        EvaluationFacts("again", GROUP, defined=[Defined("test", visits("sub-05"), True, "May")]),
        EvaluationFacts("again", GROUP, defined=[Defined("test", visits("sub-05"))]),
        ("sub-05",),
    ),
    "late-seal": (
        EvaluationFacts("kept", GROUP, (), {}, [Defined("test", GROUP[1:], n_looks=2)], "seal"),
        EvaluationFacts("kept", GROUP, (), {}, [Defined("test", GROUP[1:])], "seal"),
        ("sub-05",),
    ),
    "look-of-another-trial": (
        EvaluationFacts(
            "test", GROUP, defined=[Defined("test", visits("sub-05"), n_looks=1, by="trial-0001")]
        ),
        EvaluationFacts("test", GROUP, defined=[Defined("test", visits("sub-05"), n_looks=1)]),
        ("sub-05",),
    ),
    "own-group": (EvaluationFacts("train", GROUP), EvaluationFacts("test", GROUP), ()),
    "misleading-group": (
        EvaluationFacts("test-training2", GROUP),
        EvaluationFacts("train", GROUP),
        (),
    ),
}


def test_the_rules_of_training_and_evaluation_have_different_names():
    assert len(RULES) == len(TRAINING_RULES) + len(EVALUATION_RULES)


@pytest.mark.parametrize("name", RULES)
def test_rule_finds_its_leak_and_names_the_participants(name):
    leaking, _, participants = EXAMPLES[name]
    (finding,) = RULES[name](leaking)
    assert finding.rule == name
    assert finding.severity in get_args(Severity)
    assert finding.participants == participants
    assert all(participant in finding.sentence for participant in participants)
    assert finding.fixes
    assert not any(text.endswith(".") for text in (finding.sentence, *finding.fixes))


@pytest.mark.parametrize("name", RULES)
def test_rule_leaves_clean_work_alone(name):
    _, clean, _ = EXAMPLES[name]
    assert list(RULES[name](clean)) == []


@pytest.mark.parametrize("name", RULES)
def test_rule_says_the_same_twice_and_changes_nothing(name):
    leaking, _, _ = EXAMPLES[name]
    before = repr(leaking)
    assert list(RULES[name](leaking)) == list(RULES[name](leaking))
    assert repr(leaking) == before


@pytest.mark.parametrize("name", RULES)
def test_rule_has_nothing_against_nothing(name):
    nothing = TrainingFacts([]) if name in TRAINING_RULES else EvaluationFacts("test", [])
    assert list(RULES[name](nothing)) == []


@pytest.mark.parametrize("name", RULES)
def test_the_docs_show_the_sentence_of_the_rule(name):
    (finding,) = RULES[name](EXAMPLES[name][0])
    assert f"    {finding.sentence}\n" in DOCS.read_text(encoding="utf-8")


WARNINGS = {
    "spoilt-test-set", "repeated-images", "misleading-group",
    "re-scanned-images", "re-scanned-training-images",
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_what_contaminates_a_result_is_refused_and_the_rest_is_a_warning(name):
    (finding,) = RULES[name](EXAMPLES[name][0])
    assert finding.severity == ("warn" if name in WARNINGS else "refuse")


@pytest.mark.parametrize("name", RULES)
def test_only_the_names_of_the_own_groups_take_no_reason(name):
    (finding,) = RULES[name](EXAMPLES[name][0])
    assert finding.acceptable == (name != "own-group")


# What a spelling variant must not hide: rule -> the leaking example in another spelling.
RESPELT = {
    "shared-participants": TrainingFacts([split(["sub-ADNI002S0295"], ["002_S_0295"])]),
    "repeated-training-sessions": TrainingFacts(
        [TrainingSplit(0, [("sub-01", "ses-M00"), ("sub-001", "ses-M000")], [])]
    ),
    "late-split": TrainingFacts([split(["sub-ADNI002S0295"], ["sub-3"])], visits("sub-2S295")),
    "biased-transfer": TrainingFacts(
        [split(["sub-1"], ["sub-3"])], ancestors=[Ancestor("maps_source", 0, ["sub-IXI003"])]
    ),
    "spoilt-test-set": TrainingFacts(
        [], visits("sub-3"), ancestors=[Ancestor("maps_source", 0, [], visits("sub-03"))]
    ),
    "seen-participants": EvaluationFacts("test", visits("sub-2", session="ses-M12"), [THIS]),
    "seen-sessions": EvaluationFacts("test", visits("sub-2", session="M0"), [THIS]),
    "sealed-group": EvaluationFacts(
        "again", visits("sub-5"), defined=[Defined("test", visits("sub-05"), True)]
    ),
    "second-look": EvaluationFacts(
        "again", visits("sub-5"), defined=[Defined("test", visits("sub-05"), True, "May")]
    ),
    "late-seal": EvaluationFacts(
        "kept", visits("sub-5"), (), {}, [Defined("test", GROUP, n_looks=2)], "seal"
    ),
    "repeated-sessions": EvaluationFacts(
        "test", [("sub-ADNI002S0295", "ses-M00"), ("002_S_0295", "M0")]
    ),
}


@pytest.mark.parametrize("name", RESPELT)
def test_another_spelling_hides_nobody_and_both_spellings_are_named(name):
    (finding,) = RULES[name](RESPELT[name])
    assert len(finding.participants) == 1
    assert " = " in finding.sentence
    assert any("two people" in fix for fix in finding.fixes)


@pytest.mark.parametrize("name", RESPELT)
def test_one_spelling_is_named_once(name):
    (finding,) = RULES[name](EXAMPLES[name][0])
    assert " = " not in finding.sentence
    assert not any("two people" in fix for fix in finding.fixes)


def test_every_split_is_checked_and_named():
    splits = [
        split(["sub-01"], ["sub-02"], 0),
        split(["sub-02", "sub-01"], ["sub-01"], 1),
        split(["sub-02"], ["sub-2"], 4),
    ]
    (finding,) = RULES["shared-participants"](TrainingFacts(splits))
    assert finding.participants == ("sub-01", "sub-2")
    assert "splits 1, 4" in finding.sentence


def test_a_participant_may_change_sides_from_split_to_split():
    splits = [split(["sub-01"], ["sub-02"], 0), split(["sub-02"], ["sub-01"], 1)]
    assert list(RULES["shared-participants"](TrainingFacts(splits))) == []


def test_another_visit_in_validation_is_the_same_participant():
    facts = TrainingFacts([TrainingSplit(0, visits("sub-01"), visits("sub-01", session="ses-M12"))])
    (finding,) = RULES["shared-participants"](facts)
    assert finding.participants == ("sub-01",)


def test_several_visits_of_one_participant_are_no_repetition():
    facts = TrainingFacts(
        [TrainingSplit(0, visits("sub-01") + visits("sub-01", session="ses-M12"), [])]
    )
    assert list(RULES["repeated-training-sessions"](facts)) == []


def test_a_session_that_stands_three_times_is_named_once():
    (finding,) = RULES["repeated-sessions"](EvaluationFacts("test", visits("sub-01") * 3))
    assert finding.sentence == "1 session is twice in data group test: (sub-01 | ses-M00)"


def test_the_message_says_where_the_test_set_is_recorded():
    leaking, _, _ = EXAMPLES["late-split"]
    (finding,) = RULES["late-split"](leaking)
    assert "split/test_baseline.tsv" in finding.sentence


def test_training_participants_of_the_test_set_are_found_too():
    (finding,) = RULES["late-split"](TrainingFacts([CLEAN_SPLIT], visits("sub-01", "sub-03")))
    assert finding.participants == ("sub-01", "sub-03")


def test_transfer_between_the_same_splits_passes():
    splits = [split(["sub-01"], ["sub-02"], 0), split(["sub-02"], ["sub-01"], 1)]
    ancestors = [
        Ancestor(
            "maps_source", one.number, [who for who, _ in one.train], visits("sub-01", "sub-02")
        )
        for one in splits
    ]
    assert list(RULES["biased-transfer"](TrainingFacts(splits, ancestors=ancestors))) == []


def test_transfer_between_other_splits_is_found_in_the_source_and_in_its_own_source():
    ancestors = [
        Ancestor("maps_source", 0, ["sub-01"]),
        Ancestor("maps_source", 1, ["sub-03"]),
        Ancestor("maps_first", 0, ["sub-03"]),
    ]
    (finding,) = RULES["biased-transfer"](TrainingFacts([CLEAN_SPLIT], ancestors=ancestors))
    assert finding.participants == ("sub-03",)
    assert "of maps_first" in finding.sentence


def test_each_model_that_saw_the_group_is_named():
    source = Seen("maps_source", visits("sub-04"))
    own, its = RULES["seen-participants"](
        EvaluationFacts("test", visits("sub-01", "sub-04", "sub-05"), [THIS, source])
    )
    assert own.sentence.startswith("1 of 3 participants of data group test was seen")
    assert own.participants == ("sub-01",) and "this MAPS" in own.sentence
    assert its.participants == ("sub-04",) and "maps_source" in its.sentence


def test_an_image_of_a_seen_participant_is_under_no_other_name():
    group = [("sub-1", "ses-M12")]
    facts = EvaluationFacts("test", group, [THIS], {group[0]: "a1"})
    assert list(RULES["seen-images"](facts)) == []


def test_the_name_under_which_an_image_was_seen_is_given():
    (finding,) = RULES["seen-images"](EXAMPLES["seen-images"][0])
    assert "(sub-05 | ses-M00) = (sub-01 | ses-M00)" in finding.sentence


def test_two_of_one_group_with_one_head_are_named_once():
    facts = EvaluationFacts("test", GROUP, signatures=shown(s04="a", s05="a"))
    (finding,) = RULES["re-scanned-images"](facts)
    assert "is in it as well under another name" in finding.sentence
    assert finding.participants == ("sub-04",)
    assert [pair[:2] for pair in finding.pairs] == [(("sub-04", "ses-M00"), ("sub-05", "ses-M00"))]


def test_the_very_same_file_is_not_called_a_re_scan_too():
    seen = Seen(
        "this MAPS", visits("sub-01"), {"h": ("sub-01", "ses-M00")}, signatures=shown(s01="a")
    )
    hashes = {GROUP[1]: "h"}
    facts = EvaluationFacts("test", GROUP, [seen], hashes, signatures=shown(s05="a"))
    assert list(RULES["re-scanned-images"](facts)) == []
    assert len(list(RULES["seen-images"](facts))) == 1
    both = EvaluationFacts(
        "test", GROUP, hashes=dict.fromkeys(GROUP, "h"), signatures=shown(s04="a", s05="a")
    )
    assert list(RULES["re-scanned-images"](both)) == []
    assert len(list(RULES["repeated-images"](both))) == 1


def test_heads_of_train_and_validation_are_compared_split_by_split():
    splits = [split(["sub-01", "sub-02"], ["sub-03"], 0), split(["sub-01"], ["sub-02"], 2)]
    facts = TrainingFacts(splits, signatures=shown(s01="a", s02="a", s03="b"))
    (finding,) = RULES["re-scanned-training-images"](facts)
    assert finding.participants == ("sub-02",) and "train of split 2 " in finding.sentence


def test_images_whose_hash_is_not_known_are_not_alike():
    seen = Seen("this MAPS", visits("sub-01"), {"": ("sub-01", "ses-M00")})
    facts = EvaluationFacts("test", GROUP, [seen], dict.fromkeys(GROUP, ""))
    assert list(RULES["seen-images"](facts)) == []
    assert list(RULES["repeated-images"](facts)) == []


@pytest.mark.parametrize("group", ["train", "validation", "Train", " VALIDATION "])
def test_the_own_groups_are_refused_and_the_message_says_where_their_results_are(group):
    (finding,) = RULES["own-group"](EvaluationFacts(group, []))
    assert f"folder {group.strip().lower()} beside each of its best models" in finding.sentence
    assert list(RULES["misleading-group"](EvaluationFacts(group, []))) == []


@pytest.mark.parametrize("group", ["train+validation", "my_Train", "validation-2"])
def test_a_name_that_contains_an_own_group_is_a_warning(group):
    assert list(RULES["own-group"](EvaluationFacts(group, []))) == []
    (finding,) = RULES["misleading-group"](EvaluationFacts(group, []))
    assert group in finding.sentence


@given(
    st.lists(st.integers(0, 40), unique=True, max_size=15),
    st.lists(st.integers(0, 40), unique=True, max_size=15),
)
def test_found_are_the_participants_that_both_sides_share_under_any_spelling(seen, group):
    facts = EvaluationFacts(
        "test",
        visits(*(f"sub-{number:03d}" for number in group)),
        [Seen("this MAPS", visits(*(f"sub-OAS{number}" for number in seen)))],
    )
    found = [one for finding in RULES["seen-participants"](facts) for one in finding.participants]
    assert found == [f"sub-{number:03d}" for number in group if number in seen]


def test_a_repetition_in_validation_is_found_too():
    (finding,) = RULES["repeated-training-sessions"](
        TrainingFacts([split(["sub-01"], ["sub-02", "sub-02"], 3)])
    )
    assert finding.participants == ("sub-02",)
    assert "split 3" in finding.sentence


def test_other_spellings_are_collected_over_the_splits():
    splits = [split(["sub-1"], ["sub-01"], 0), split(["sub-001"], ["sub-01"], 1)]
    (finding,) = RULES["shared-participants"](TrainingFacts(splits))
    assert "sub-01 = sub-1 = sub-001" in finding.sentence


def test_a_sentence_shows_three_other_spellings_at_most():
    train = ["sub-1", "sub-001", "sub-0001", "sub-00001"]
    (finding,) = RULES["shared-participants"](TrainingFacts([split(train, ["sub-01"])]))
    assert finding.sentence.endswith(": sub-01 = sub-1 = sub-001 = sub-0001")


SEALED, OPENED = (
    Defined("test", GROUP, is_sealed=True),
    Defined("test", GROUP, is_sealed=True, unsealed="2026-03-02", n_looks=1),
)


@pytest.mark.parametrize("purpose", ["evaluate", "interpret", "seal"])
def test_a_sealed_group_is_refused_to_all_who_do_not_unseal_it_and_no_reason_helps(purpose):
    facts = EvaluationFacts("test", GROUP, defined=[SEALED], purpose=purpose)
    (finding,) = RULES["sealed-group"](facts)
    assert (finding.severity, finding.acceptable) == ("refuse", False)
    assert list(RULES["sealed-group"](replace(facts, purpose="unseal"))) == []
    assert list(RULES["second-look"](facts)) == []


@pytest.mark.parametrize(
    ("purpose", "severity"),
    [("evaluate", "refuse"), ("unseal", "refuse"), ("seal", "refuse"), ("interpret", "warn")],
)
def test_a_group_that_had_its_evaluation_can_only_be_interpreted(purpose, severity):
    facts = EvaluationFacts("test", GROUP, defined=[OPENED], purpose=purpose)
    (finding,) = RULES["second-look"](facts)
    assert (finding.severity, finding.acceptable) == (severity, True)
    assert finding.sentence == "test was sealed, and had its one evaluation on 2026-03-02"
    assert list(RULES["sealed-group"](facts)) == []


def test_to_redefine_a_sealed_group_with_others_is_refused_too():
    for defined, rule in ((SEALED, "sealed-group"), (OPENED, "second-look")):
        facts = EvaluationFacts("test", visits("sub-77"), defined=[defined])
        assert [one.rule for one in RULES[rule](facts)] == [rule]
