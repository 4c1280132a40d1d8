"""The weights of the check against the script that fits them, and against people it did not see."""

import sys
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from clinicadl.quality.registration import INTERCEPT, WEIGHTS, probability
from clinicadl.quality.registration_align import read_template

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def calibrate(monkeypatch):
    """The script, as a module."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import calibrate_quality

    yield calibrate_quality
    sys.modules.pop("calibrate_quality")


@pytest.mark.data
@pytest.mark.slow
def test_the_weights_are_those_that_the_script_fits(calibrate, real_data):
    found = list(calibrate.samples(real_data, calibrate.CALIBRATION, read_template(None)))
    fitted = calibrate.fit(found)
    assert fitted.intercept == pytest.approx(INTERCEPT, rel=0.01)
    for name, row in WEIGHTS.items():
        assert row.slope == pytest.approx(fitted.slopes[name], rel=0.01)
        assert row.usual == pytest.approx(fitted.usual[name], rel=0.01)


@pytest.mark.data
def test_nobody_is_on_both_sides(calibrate, real_data, monkeypatch):
    fitted, judged = (
        {path.name.partition("_")[0] for path in calibrate.scans(real_data, side)}
        for side in (calibrate.CALIBRATION, calibrate.EVALUATION)
    )
    assert len(fitted) == 32
    assert not fitted & judged
    assert "sub-IXI383" in fitted
    twin = [path for path in calibrate.scans(real_data, calibrate.EVALUATION)
            if calibrate.TWIN in path.name]  # fmt: skip
    assert len(twin) == 1
    monkeypatch.setattr(calibrate, "scans", lambda *_: twin)
    assert not [*calibrate.samples(real_data, calibrate.EVALUATION, read_template(None))]


@pytest.mark.data
@pytest.mark.slow
def test_faults_of_people_that_it_did_not_see_are_told_from_good_images(
    calibrate, real_data, monkeypatch
):
    few = calibrate.scans(real_data, calibrate.EVALUATION)[::12]
    monkeypatch.setattr(calibrate, "scans", lambda *_: few)
    found = list(calibrate.samples(real_data, calibrate.EVALUATION, read_template(None)))
    good, likely = zip(*((not name, probability(one)) for name, _, one in found), strict=True)
    assert len(few) == 6
    assert roc_auc_score(good, likely) >= 0.99
