"""Models go to another machine and come back: same bits, nobody's name, and the guard knows."""

from __future__ import annotations

import pandas as pd
import pytest

from clinicadl import PredictConfig, predict
from clinicadl.config.hub import PushConfig
from clinicadl.hub.pull import pull
from clinicadl.hub.push import push
from clinicadl.layouts.maps import names

QUICK = {"n_proc": 0, "gpu": False}


def on_test(caps, **more):
    return PredictConfig(
        caps_directory=caps, participants_tsv=caps / "split/test_baseline.tsv", **QUICK, **more
    )


def test_a_pulled_model_says_the_same_to_the_bit(trained, prepared_once, tmp_path):
    push(PushConfig(), trained, str(tmp_path / "shared"))
    pull(str(tmp_path / "shared"), tmp_path / "pulled")
    for maps in (trained, tmp_path / "pulled"):
        predict(on_test(prepared_once), maps, "test")
    for metric in ("loss", "BA"):
        one, other = (names.results(maps, 0, metric, "test") for maps in (trained, tmp_path / "pulled"))
        for path in sorted(one.glob("*.tsv")):
            assert path.read_bytes() == (other / path.name).read_bytes()
