"""A verdict stops what leaks, says why, and keeps the reason of whoever goes on."""

from __future__ import annotations

import json

import pytest

from clinicadl.errors import LeakageError, UsageError
from clinicadl.guard import check
from clinicadl.guard.facts import Ancestor, Seen, TrainingSplit


def visits(*participants, session="ses-M00"):
    return [(participant, session) for participant in participants]


SEEN = [Seen("this MAPS", visits("sub-01", "sub-ADNI002S0295"))]


def test_clean_work_goes_on_and_bears_no_reason():
    clean = check.evaluation("test", visits("sub-09"), seen=SEEN, hashes={})
    assert clean.findings == ()
    assert clean.enforce(None) == clean
    assert clean.enforce("for practice").accepted is None


def test_leaking_evaluation_is_refused_with_what_how_many_who_and_what_to_do():
    verdict = check.evaluation("test", visits("sub-01", "sub-09"), seen=SEEN, hashes={})
    with pytest.raises(LeakageError) as refused:
        verdict.enforce(None)
    assert refused.value.exit_code == 4
    assert str(refused.value) == (
        "Data leakage: 1 of 2 participants of data group test was seen in train or validation by "
        "this MAPS: sub-01; 1 session of data group test was seen in train or validation by this "
        "MAPS: (sub-01 | ses-M00). Leave them out of the table of the data group, with all their "
        "sessions. To evaluate in spite of it, say why with --accept-leakage REASON: the reason "
        "is written beside every number."
    )


def test_both_spellings_are_in_the_message():
    verdict = check.evaluation(
        "test", visits("002_S_0295", session="ses-M12"), seen=SEEN, hashes={}
    )
    with pytest.raises(LeakageError, match="002_S_0295 = sub-ADNI002S0295"):
        verdict.enforce(None)


def test_the_first_ten_are_named_and_the_others_counted():
    group = visits(*(f"sub-{number:02d}" for number in range(12)), session="ses-M12")
    seen = [Seen("this MAPS", visits(*(who for who, _ in group)))]
    verdict = check.evaluation("test", group, seen=seen, hashes={})
    with pytest.raises(LeakageError, match=r"12 of 12 .* sub-09 and 2 more\.") as refused:
        verdict.enforce(None)
    assert "sub-10" not in str(refused.value)
    assert len(verdict.findings[0].participants) == 12


def test_a_reason_lets_the_work_go_on_and_stays_with_the_verdict():
    verdict = check.evaluation("test", visits("sub-01"), seen=SEEN, hashes={})
    accepted = verdict.enforce(" we want the resubstitution error ")
    assert accepted.accepted == "we want the resubstitution error"
    assert accepted.findings == verdict.findings
    assert verdict.accepted is None


@pytest.mark.parametrize("reason", ["", "  \n"])
@pytest.mark.parametrize("group", [visits("sub-01"), visits("sub-09")])
def test_a_blank_reason_is_no_reason(reason, group):
    verdict = check.evaluation("test", group, seen=SEEN, hashes={})
    with pytest.raises(UsageError, match="without a reason"):
        verdict.enforce(reason)


@pytest.mark.parametrize("group", ["train", "validation"])
def test_no_reason_makes_train_or_validation_a_data_group(group):
    verdict = check.evaluation(group, visits("sub-09"), seen=SEEN, hashes={})
    with pytest.raises(LeakageError, match="beside each of its best models") as refused:
        verdict.enforce("we know what we do")
    assert "--accept-leakage" not in str(refused.value)


def test_a_warning_stops_nothing_and_needs_no_reason():
    verdict = check.evaluation("validation2", visits("sub-09"), seen=SEEN, hashes={})
    assert [finding.severity for finding in verdict.findings] == ["warn"]
    assert verdict.enforce(None) == verdict
    assert verdict.enforce("a name from the paper").accepted is None


def test_warnings_are_not_in_the_message_of_a_refusal():
    verdict = check.evaluation("validation2", visits("sub-01"), seen=SEEN, hashes={})
    assert "misleading-group" in [finding.rule for finding in verdict.findings]
    with pytest.raises(LeakageError) as refused:
        verdict.enforce(None)
    assert "may be taken for" not in str(refused.value)


def test_a_training_that_leaks_is_refused_and_no_option_is_promised():
    verdict = check.training([TrainingSplit(0, visits("sub-01"), visits("sub-01"))])
    with pytest.raises(LeakageError, match="also in train of split 0: sub-01") as refused:
        verdict.enforce(None)
    assert "--accept-leakage" not in str(refused.value)


def test_a_training_hears_of_the_test_set_and_of_its_ancestors():
    verdict = check.training(
        [TrainingSplit(0, visits("sub-01"), visits("sub-02"))],
        test=visits("sub-01", "sub-03"),
        test_tables=["split/test_baseline.tsv"],
        ancestors=[Ancestor("maps_source", 0, ["sub-02"], visits("sub-02", "sub-03"))],
    )
    assert [finding.rule for finding in verdict.findings] == [
        "late-split", "biased-transfer", "spoilt-test-set",
    ]  # fmt: skip
    with pytest.raises(LeakageError, match=r"split/test_baseline\.tsv"):
        verdict.enforce(None)


def test_a_clean_training_passes():
    verdict = check.training([TrainingSplit(0, visits("sub-01"), visits("sub-02"))])
    assert verdict.enforce(None).findings == ()


def test_the_same_image_under_another_name_is_refused():
    seen = [Seen("this MAPS", visits("sub-01"), {"a1": ("sub-01", "ses-M00")})]
    group = visits("sub-09")
    verdict = check.evaluation("test", group, seen=seen, hashes={group[0]: "a1"})
    with pytest.raises(LeakageError, match=r"\(sub-09 \| ses-M00\) = \(sub-01 \| ses-M00\)"):
        verdict.enforce(None)


def test_the_record_survives_json_and_holds_everybody_and_the_reason():
    group = visits(*(f"sub-{number:02d}" for number in range(12)), session="ses-M12")
    seen = [Seen("this MAPS", visits(*(who for who, _ in group)))]
    verdict = check.evaluation("test", group, seen=seen, hashes={}).enforce("for practice")
    record = verdict.to_record()
    assert json.loads(json.dumps(record)) == record
    assert record["accepted"] == "for practice"
    (finding,) = record["findings"]
    assert finding["rule"] == "seen-participants" and finding["severity"] == "refuse"
    assert finding["participants"] == [who for who, _ in group]
    assert finding["sentence"] == verdict.findings[0].sentence
