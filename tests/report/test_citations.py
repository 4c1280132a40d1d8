"""What is to be cited: a publication for every row, and for a MAPS what it rests on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from clinicadl import InterpretConfig, PredictConfig, cite, interpret, predict
from clinicadl.config import references
from clinicadl.config.attributions import ATTRIBUTIONS
from clinicadl.config.network import NETWORKS
from clinicadl.config.optimization import OptimizerName
from clinicadl.config.preprocessing import PREPROCESSINGS
from clinicadl.config.references import OWN, PUBLICATIONS
from clinicadl.config.schedule import AVERAGES, SCHEDULES
from clinicadl.errors import MissingInputError
from clinicadl.layouts.maps import names
from clinicadl.report import citations

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_a_publication(name):
    found = references.identifiers(NETWORKS[name].reference)
    assert found
    assert set(found) <= PUBLICATIONS.keys()


@pytest.mark.parametrize("name", ATTRIBUTIONS)
def test_every_attribution_method_has_a_publication(name):
    found = references.identifiers(ATTRIBUTIONS[name].reference)
    assert found
    assert set(found) <= PUBLICATIONS.keys()


@pytest.mark.parametrize("name", PREPROCESSINGS)
def test_every_preprocessing_has_a_publication_or_says_why_there_is_none(name):
    found = references.PREPROCESSINGS[name]
    assert set(found) <= PUBLICATIONS.keys()
    assert found or references.NOTES[f"preprocessing {name}"]


def test_every_name_in_the_tables_is_a_name_of_the_settings():
    assert set(references.OPTIMIZERS) <= set(get_args(OptimizerName))
    assert set(references.AVERAGES) <= set(AVERAGES)
    assert set(references.SCHEDULES) <= set(SCHEDULES)
    from clinicadl.tasks.losses import EVIDENCE

    assert set(references.LOSSES) <= set(EVIDENCE)


def test_every_publication_is_used_and_has_a_key_of_its_own():
    used = {one for use in citations.everything() for one in use.identifiers}
    assert used == PUBLICATIONS.keys()
    keys = [citations.key(one) for one in PUBLICATIONS]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[a-z]+[12]\d{3}[a-z0-9]+", key) for key in keys)


def test_the_own_publication_is_that_of_the_citation_file():
    import yaml

    content = yaml.safe_load((ROOT / "CITATION.cff").read_text())["preferred-citation"]
    own = PUBLICATIONS[OWN]
    assert f"doi:{content['doi']}" == OWN
    assert own.title == content["title"]
    assert own.year == content["year"]
    families = [one.partition(",")[0] for one in own.authors]
    assert families == [one["family-names"] for one in content["authors"]]


def test_a_maps_is_cited_by_what_it_rests_on(trained):
    said = cite(trained)
    uses = {use.feature: use for use in citations.used(trained)}
    assert uses["network Conv4_FC3"].identifiers == (OWN,)
    assert uses["optimizer Adam"].identifiers == ("arXiv:1412.6980",)
    assert uses["intervals of metrics"].identifiers == references.INTERVALS
    assert "for: ClinicaDL, network Conv4_FC3" in said
    assert "preprocessing custom: cite what made the images" in said
    assert "https://doi.org/10.1145/3620665.3640366" in said
    assert "AdamW" not in said
    assert "attribution" not in said


def test_what_explained_a_model_is_cited(trained, prepared):
    table = prepared / "split" / "test_baseline.tsv"
    predict(
        PredictConfig(caps_directory=prepared, participants_tsv=table, gpu=False), trained, "test"
    )
    interpret(InterpretConfig(method={"name": "gradients"}, gpu=False), trained, "test", "why")
    uses = {use.feature: use.identifiers for use in citations.used(trained)}
    assert uses["attribution gradients"] == ("arXiv:1312.6034",)
    assert "sanity checks of maps" not in uses
    folder = names.results(trained, 0, "loss", "test")
    names.judged(names.interpretation(folder, "why"), "sanity").write_text("test\n")
    uses = {use.feature: use.identifiers for use in citations.used(trained)}
    assert uses["sanity checks of maps"] == references.SANITY


@pytest.mark.parametrize(
    ("sections", "feature"),
    [
        ({"optimization": {"optimizer": "AdamW"}}, "optimizer AdamW"),
        ({"optimization": {"optimizer": "SGD"}}, None),
        ({"network": {"name": "SFCN"}}, "network SFCN"),
        ({"optimization": {"averaging": {"name": "swa"}, "epochs": 20}}, "averaging swa"),
        ({"transforms": {"augmentation": [{"name": "Motion"}]}}, "package torchio"),
    ],
)
def test_settings_that_rest_on_something_are_cited(prepared_once, config_of, sections, feature):
    config = config_of(prepared_once, **sections)
    found = {use.feature for use in citations._training(config)}
    found.add(f"network {config.network.name}")
    assert feature is None or feature in found
    assert feature is not None or not any(one.startswith("optimizer") for one in found)


def test_bibtex_has_one_entry_for_each_publication(trained):
    said = cite(trained, bibtex=True)
    entries = re.findall(r"^@article\{(\w+),$", said, re.MULTILINE)
    found = {one for use in citations.used(trained) for one in use.identifiers}
    assert sorted(entries) == sorted(citations.key(one) for one in found)
    assert "  doi = {10.1016/j.cmpb.2022.106818}" in said
    assert "  eprint = {1412.6980},\n  archiveprefix = {arXiv}" in said
    assert said.count("{") == said.count("}")


def test_without_a_maps_everything_is_listed():
    said = cite()
    assert all(references.link(one) in said for one in PUBLICATIONS)


@pytest.mark.parametrize(
    "words", [("--cite",), ("maps", "cite"), ("--cite", "--bibtex"), ("-q", "--cite")]
)
def test_the_command_line_lists_everything(invoke, words):
    code, out, err = invoke(*words)
    assert (code, err) == (0, "")
    assert out == cite(bibtex="--bibtex" in words)


def test_the_command_line_lists_what_a_maps_rests_on(invoke, trained):
    expected = cite(trained)
    for words in (("--cite", trained), ("maps", "cite", trained)):
        assert invoke(*words) == (0, expected, "")
    assert invoke("--cite", trained, "--bibtex")[1] == cite(trained, bibtex=True)


def test_a_folder_that_is_no_maps_is_refused(invoke, tmp_path):
    code, out, err = invoke("--cite", tmp_path)
    assert (code, out) == (MissingInputError.exit_code, "")
    assert str(tmp_path) in err
    with pytest.raises(MissingInputError):
        cite(tmp_path)


@pytest.mark.parametrize(
    ("reference", "known", "note"),
    [
        ("arXiv:1412.6980", ("arXiv:1412.6980",), ""),
        ("my thesis", (), "cite whoever wrote it: my thesis"),
        ("", (), "cite whoever wrote it: its row names no reference"),
        ("A 2025, doi:10.9999/mine", (), "cite whoever wrote it: A 2025, doi:10.9999/mine"),
    ],
)
def test_rows_of_somebody_else_say_whom_to_cite(reference, known, note):
    assert citations._row("network Mine", reference) == ("network Mine", known, note)
