"""Train and judge deep networks on brain images, without data leakage.

Every command is also a function here: each is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinicadl.attribution.interpret import interpret as interpret
    from clinicadl.config.audit import AuditConfig as AuditConfig
    from clinicadl.config.audit import CheckConfig as CheckConfig
    from clinicadl.config.compare import CompareConfig as CompareConfig
    from clinicadl.config.experiment import ExperimentConfig as ExperimentConfig
    from clinicadl.config.generate import ArtifactsConfig as ArtifactsConfig
    from clinicadl.config.generate import AtrophyConfig as AtrophyConfig
    from clinicadl.config.generate import HypometabolicConfig as HypometabolicConfig
    from clinicadl.config.generate import RandomConfig as RandomConfig
    from clinicadl.config.generate import SheppLoganConfig as SheppLoganConfig
    from clinicadl.config.generate import TrivialConfig as TrivialConfig
    from clinicadl.config.interpret import InterpretConfig as InterpretConfig
    from clinicadl.config.labels import LabelsConfig as LabelsConfig
    from clinicadl.config.labels import MetadataConfig as MetadataConfig
    from clinicadl.config.labels import RestrictConfig as RestrictConfig
    from clinicadl.config.predict import PredictConfig as PredictConfig
    from clinicadl.config.prepare import PrepareConfig as PrepareConfig
    from clinicadl.config.prepare import PrepareFromBidsConfig as PrepareFromBidsConfig
    from clinicadl.config.preprocess import PreprocessLinearConfig as PreprocessLinearConfig
    from clinicadl.config.preprocess import PreprocessPetConfig as PreprocessPetConfig
    from clinicadl.config.preview import PreviewConfig as PreviewConfig
    from clinicadl.config.quality import T1LinearQualityConfig as T1LinearQualityConfig
    from clinicadl.config.quality_caps import PetQualityConfig as PetQualityConfig
    from clinicadl.config.quality_caps import VolumeQualityConfig as VolumeQualityConfig
    from clinicadl.config.quality_raw import RawQualityConfig as RawQualityConfig
    from clinicadl.config.random_search import RandomAnalysisConfig as RandomAnalysisConfig
    from clinicadl.config.random_search import RandomSearchConfig as RandomSearchConfig
    from clinicadl.config.read import experiment as read_experiment  # noqa: F401  # public
    from clinicadl.config.report import ReportConfig as ReportConfig
    from clinicadl.config.search import SearchConfig as SearchConfig
    from clinicadl.config.search import of_file as read_search  # noqa: F401  # public
    from clinicadl.config.summary import AdaptConfig as AdaptConfig
    from clinicadl.config.summary import AnalysisConfig as AnalysisConfig
    from clinicadl.config.summary import ProgressionConfig as ProgressionConfig
    from clinicadl.config.tables import ExperimentTablesConfig as ExperimentTablesConfig
    from clinicadl.config.tables import KFoldConfig as KFoldConfig
    from clinicadl.config.tables import SplitConfig as SplitConfig
    from clinicadl.data.from_bids import prepare_data_from_bids as prepare_data_from_bids
    from clinicadl.data.prepare import prepare_data as prepare_data
    from clinicadl.engine.audit import audit as audit
    from clinicadl.engine.imports import import_maps as import_maps
    from clinicadl.engine.predict import predict as predict
    from clinicadl.engine.repeat import train_from as train_from
    from clinicadl.engine.resume import resume as resume
    from clinicadl.engine.train import train as train
    from clinicadl.engine.verify import verify as verify
    from clinicadl.guard.audit import check_tables as check_tables
    from clinicadl.networks.listing import list_models as list_models
    from clinicadl.preprocess.linear import preprocess_linear as preprocess_linear
    from clinicadl.preprocess.pet import preprocess_pet as preprocess_pet
    from clinicadl.quality.linear import quality_check_t1_linear as quality_check_t1_linear
    from clinicadl.quality.pet import quality_check_pet_linear as quality_check_pet_linear
    from clinicadl.quality.raw_command import quality_check_raw as quality_check_raw
    from clinicadl.quality.volume import quality_check_t1_volume as quality_check_t1_volume
    from clinicadl.report.comparison import compare as compare
    from clinicadl.report.contents import show_maps as show_maps
    from clinicadl.report.page import write_report as write_report
    from clinicadl.report.preview import preview as preview
    from clinicadl.report.search_page import write_search_page as write_search_page
    from clinicadl.search.analysis import analyse_random_search as analyse_random_search
    from clinicadl.search.published import random_search as random_search
    from clinicadl.search.workers import read as show_search  # noqa: F401  # public
    from clinicadl.search.workers import resume_search as resume_search
    from clinicadl.search.workers import run_search as run_search
    from clinicadl.synthesis.artifacts import generate_artifacts as generate_artifacts
    from clinicadl.synthesis.atrophy import generate_atrophy as generate_atrophy
    from clinicadl.synthesis.hypometabolic import generate_hypometabolic as generate_hypometabolic
    from clinicadl.synthesis.noise import generate_random as generate_random
    from clinicadl.synthesis.shepplogan import generate_shepplogan as generate_shepplogan
    from clinicadl.synthesis.trivial import generate_trivial as generate_trivial
    from clinicadl.tables.adapt import adapt as adapt
    from clinicadl.tables.experiment import prepare_experiment as prepare_experiment
    from clinicadl.tables.folds import kfold as kfold
    from clinicadl.tables.labels import get_labels as get_labels
    from clinicadl.tables.metadata import get_metadata as get_metadata
    from clinicadl.tables.progression import get_progression as get_progression
    from clinicadl.tables.restrict import restrict as restrict
    from clinicadl.tables.split import split as split
    from clinicadl.tables.summary import analysis as analysis

_HOMES = {
    "AdaptConfig": "clinicadl.config.summary:AdaptConfig",
    "AnalysisConfig": "clinicadl.config.summary:AnalysisConfig",
    "ArtifactsConfig": "clinicadl.config.generate:ArtifactsConfig",
    "AtrophyConfig": "clinicadl.config.generate:AtrophyConfig",
    "AuditConfig": "clinicadl.config.audit:AuditConfig",
    "CheckConfig": "clinicadl.config.audit:CheckConfig",
    "CompareConfig": "clinicadl.config.compare:CompareConfig",
    "ExperimentConfig": "clinicadl.config.experiment:ExperimentConfig",
    "ExperimentTablesConfig": "clinicadl.config.tables:ExperimentTablesConfig",
    "HypometabolicConfig": "clinicadl.config.generate:HypometabolicConfig",
    "InterpretConfig": "clinicadl.config.interpret:InterpretConfig",
    "KFoldConfig": "clinicadl.config.tables:KFoldConfig",
    "LabelsConfig": "clinicadl.config.labels:LabelsConfig",
    "MetadataConfig": "clinicadl.config.labels:MetadataConfig",
    "PetQualityConfig": "clinicadl.config.quality_caps:PetQualityConfig",
    "PredictConfig": "clinicadl.config.predict:PredictConfig",
    "PrepareConfig": "clinicadl.config.prepare:PrepareConfig",
    "PrepareFromBidsConfig": "clinicadl.config.prepare:PrepareFromBidsConfig",
    "PreprocessLinearConfig": "clinicadl.config.preprocess:PreprocessLinearConfig",
    "PreprocessPetConfig": "clinicadl.config.preprocess:PreprocessPetConfig",
    "PreviewConfig": "clinicadl.config.preview:PreviewConfig",
    "ReportConfig": "clinicadl.config.report:ReportConfig",
    "ProgressionConfig": "clinicadl.config.summary:ProgressionConfig",
    "RandomAnalysisConfig": "clinicadl.config.random_search:RandomAnalysisConfig",
    "RandomConfig": "clinicadl.config.generate:RandomConfig",
    "RandomSearchConfig": "clinicadl.config.random_search:RandomSearchConfig",
    "RawQualityConfig": "clinicadl.config.quality_raw:RawQualityConfig",
    "RestrictConfig": "clinicadl.config.labels:RestrictConfig",
    "SearchConfig": "clinicadl.config.search:SearchConfig",
    "SheppLoganConfig": "clinicadl.config.generate:SheppLoganConfig",
    "SplitConfig": "clinicadl.config.tables:SplitConfig",
    "T1LinearQualityConfig": "clinicadl.config.quality:T1LinearQualityConfig",
    "TrivialConfig": "clinicadl.config.generate:TrivialConfig",
    "VolumeQualityConfig": "clinicadl.config.quality_caps:VolumeQualityConfig",
    "adapt": "clinicadl.tables.adapt:adapt",
    "analyse_random_search": "clinicadl.search.analysis:analyse_random_search",
    "analysis": "clinicadl.tables.summary:analysis",
    "audit": "clinicadl.engine.audit:audit",
    "check_tables": "clinicadl.guard.audit:check_tables",
    "generate_artifacts": "clinicadl.synthesis.artifacts:generate_artifacts",
    "generate_atrophy": "clinicadl.synthesis.atrophy:generate_atrophy",
    "generate_hypometabolic": "clinicadl.synthesis.hypometabolic:generate_hypometabolic",
    "generate_random": "clinicadl.synthesis.noise:generate_random",
    "generate_shepplogan": "clinicadl.synthesis.shepplogan:generate_shepplogan",
    "generate_trivial": "clinicadl.synthesis.trivial:generate_trivial",
    "compare": "clinicadl.report.comparison:compare",
    "get_labels": "clinicadl.tables.labels:get_labels",
    "get_metadata": "clinicadl.tables.metadata:get_metadata",
    "get_progression": "clinicadl.tables.progression:get_progression",
    "import_maps": "clinicadl.engine.imports:import_maps",
    "interpret": "clinicadl.attribution.interpret:interpret",
    "kfold": "clinicadl.tables.folds:kfold",
    "list_models": "clinicadl.networks.listing:list_models",
    "predict": "clinicadl.engine.predict:predict",
    "prepare_data": "clinicadl.data.prepare:prepare_data",
    "prepare_data_from_bids": "clinicadl.data.from_bids:prepare_data_from_bids",
    "prepare_experiment": "clinicadl.tables.experiment:prepare_experiment",
    "preprocess_linear": "clinicadl.preprocess.linear:preprocess_linear",
    "preprocess_pet": "clinicadl.preprocess.pet:preprocess_pet",
    "preview": "clinicadl.report.preview:preview",
    "quality_check_t1_linear": "clinicadl.quality.linear:quality_check_t1_linear",
    "quality_check_pet_linear": "clinicadl.quality.pet:quality_check_pet_linear",
    "quality_check_raw": "clinicadl.quality.raw_command:quality_check_raw",
    "quality_check_t1_volume": "clinicadl.quality.volume:quality_check_t1_volume",
    "random_search": "clinicadl.search.published:random_search",
    "read_experiment": "clinicadl.config.read:experiment",
    "read_search": "clinicadl.config.search:of_file",
    "restrict": "clinicadl.tables.restrict:restrict",
    "resume": "clinicadl.engine.resume:resume",
    "resume_search": "clinicadl.search.workers:resume_search",
    "run_search": "clinicadl.search.workers:run_search",
    "show_maps": "clinicadl.report.contents:show_maps",
    "show_search": "clinicadl.search.workers:read",
    "split": "clinicadl.tables.split:split",
    "train": "clinicadl.engine.train:train",
    "train_from": "clinicadl.engine.repeat:train_from",
    "verify": "clinicadl.engine.verify:verify",
    "write_report": "clinicadl.report.page:write_report",
    "write_search_page": "clinicadl.report.search_page:write_search_page",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'clinicadl' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(_HOMES)
