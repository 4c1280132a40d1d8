"""Which splits are trained."""

from __future__ import annotations

from pydantic import field_validator, model_validator

from clinicadl.config.base import Section, setting


class ValidationConfig(Section):
    """A single split or k folds."""

    n_splits: int = setting(0, "Number of splits of the k-fold (0: a single split)", ge=0)
    split: tuple[int, ...] = setting((), "Splits that are trained (default: all)", short="s")

    @field_validator("n_splits")
    @classmethod
    def _at_least_two(cls, n_splits: int) -> int:
        if n_splits == 1:
            raise ValueError("a k-fold has at least 2 splits; 0 means a single split")
        return n_splits

    @model_validator(mode="after")
    def _splits_exist(self) -> ValidationConfig:
        count = max(self.n_splits, 1)
        unknown = [number for number in self.split if not 0 <= number < count]
        if unknown:
            raise ValueError(
                f"split {unknown[0]} does not exist: there are splits 0 to {count - 1}"
            )
        return self

    def chosen(self) -> tuple[int, ...]:
        """Return the numbers of the splits that are trained, in order."""
        return tuple(sorted(set(self.split))) or tuple(range(max(self.n_splits, 1)))
