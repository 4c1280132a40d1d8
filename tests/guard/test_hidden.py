"""Hashes say of two spellings what the spellings say themselves."""

from __future__ import annotations

import pytest

from clinicadl.guard import hidden
from clinicadl.guard.identity import same_participants, same_sessions

NAMES = [
    "sub-ADNI002S0295", "002_S_0295", "sub-2S295", "sub-IXI014", "sub-OAS014", "sub-014", "14",
    "sub-anna", "SUB-ANNA", "sub-T001", "sub-T0010", "sub-\uff11\uff14",
]  # fmt: skip


@pytest.fixture(scope="module")
def seen_of():
    """Name -> what is hidden of a model that saw this participant alone."""
    return {
        name: hidden.hide([(name, "ses-M000")], [f"hash of {name}"], {0: {name}}) for name in NAMES
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_hidden_participant_is_told_as_a_named_one_would_be(seen_of, name):
    asked = [(one, "ses-M00") for one in NAMES]
    found = hidden.seen(seen_of[name], asked, {}, this="this MAPS")
    assert [one for one, _ in found.sessions] == [*same_participants(NAMES, [name])]
    assert found.who == "this MAPS"
    (ancestor,) = hidden.ancestors(seen_of[name], "source", asked)
    assert list(ancestor.train) == [*same_participants(NAMES, [name])]


def test_a_session_is_told_by_its_month_and_another_is_not():
    who = "sub-IXI014"
    known = hidden.hide([(who, "ses-M012"), (who, "ses-bl")], [], {})
    asked = [(who, "ses-M12"), ("sub-014", "ses-M000"), (who, "ses-M024")]
    found = hidden.seen(known, asked, {}, this="")
    assert found.sessions == (asked[0], asked[1], (who, "ses-hidden"))
    assert [*same_sessions(found.sessions, asked)] == asked[:2]


def test_an_image_is_known_by_its_content():
    known = hidden.hide([("sub-1", "ses-1")], ["a" * 64, ""], {})
    asked = {("sub-2", "ses-1"): "a" * 64, ("sub-3", "ses-1"): "b" * 64, ("sub-4", "ses-1"): ""}
    found = hidden.seen(known, asked, asked, this="")
    assert dict(found.hashes) == {"a" * 64: hidden.SOMEBODY}


def test_two_salts_give_two_hashes_of_one_person_and_nobody_s_name():
    one, other = (hidden.hide([("sub-IXI014", "ses-1")], ["c" * 64], {0: {"sub-IXI014"}})
                  for _ in range(2))  # fmt: skip
    assert one.salt != other.salt
    for field in ("seen", "sessions", "images"):
        assert getattr(one, field) != getattr(other, field)
    assert "ixi" not in one.model_dump_json().lower()
