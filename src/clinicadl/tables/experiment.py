"""A test set, and then the validation of the others, in one go."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from clinicadl.config.tables import ExperimentTablesConfig, KFoldConfig, SplitConfig
from clinicadl.errors import InvalidDataError
from clinicadl.layouts.splits import TEST, TRAIN, VALIDATION, table_name
from clinicadl.tables import division, folds, split

_SHARED = ("balance", "balance_by", "ignore_demographics", "group_by", "valid_longitudinal", "seed")


class Plan(NamedTuple):
    """Both divisions, and nothing written."""

    test: split.Plan
    validation: split.Plan | folds.Plan


def prepare_experiment(config: ExperimentTablesConfig) -> Path:
    """Set a test set apart, divide the others for validation, and write both.

    Parameters
    ----------
    config
        How many, how the others are divided, and what is kept alike.

    Returns
    -------
    The folder of the validation, which training takes; it lies in the folder of the test set.

    Raises
    ------
    MissingInputError
        The table or a column is absent.
    InvalidDataError
        The table is wrong, or too small for this.
    LeakageError
        Somebody was moved into the table by hand.
    OutputError
        The folder cannot be written.
    """
    planned = plan(config)
    write(planned)
    return planned.validation.folder


def plan(config: ExperimentTablesConfig) -> Plan:
    """Return both divisions that `prepare_experiment` would write.

    Raises
    ------
    MissingInputError
        The table or a column is absent.
    InvalidDataError
        The table is wrong, or too small for this.
    LeakageError
        Somebody was moved into the table by hand.
    OutputError
        The folder cannot be written.
    """
    # What nobody said stays unsaid: a default may give way where a column is absent.
    said = {name: getattr(config, name) for name in _SHARED if name in config.model_fields_set}
    by = {"stratify_by": config.stratify_by} if "stratify_by" in config.model_fields_set else {}
    test = split.plan(
        SplitConfig(data_tsv=config.data_tsv, subset_name=TEST, n_test=config.n_test, **said, **by)
    )
    if test.division.train is None:
        raise InvalidDataError("Nobody would be left to train on", where=config.data_tsv)
    table = test.folder / table_name(TRAIN, baseline=False)
    people = division.of_table(table, test.division.train)
    if config.validation_type == "kfold":
        k = KFoldConfig(
            data_tsv=table, subset_name=VALIDATION, n_splits=int(config.n_validation), **said,
            **({"stratification": config.stratify_by} if by else {}),
        )  # fmt: skip
        return Plan(test, folds.plan(k, people))
    once = SplitConfig(
        data_tsv=table, subset_name=VALIDATION, n_test=config.n_validation, **said, **by
    )
    return Plan(test, split.plan(once, people))


def write(planned: Plan) -> None:
    """Write both divisions.

    Raises
    ------
    OutputError
        The folder was made in the meantime, or cannot be written.
    """
    split.write(planned.test)
    if isinstance(planned.validation, folds.Plan):
        folds.write(planned.validation)
    else:
        split.write(planned.validation)
