"""Every error that a user can cause, with its exit code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class ClinicaDLError(Exception):
    """Something that the user can mend: what is wrong, where, what was found, what to do.

    Parameters
    ----------
    what
        What is wrong, as the beginning of a sentence.
    where
        The file, row, column, participant or option.
    found
        The offending value.
    fix
        What the user can do, as a sentence of its own.
    code
        The page of ``clinicadl explain`` that says more, where there is a closer one than that of
        the type.
    """

    exit_code: ClassVar[int] = 1
    code: str = "unexpected"
    """The page of ``clinicadl explain`` that says more."""

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        found: object = None,
        fix: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.found = found
        self.fix = fix
        self.code = code or type(self).code

    def __str__(self) -> str:
        sentence = self.what.rstrip(".")
        if self.where is not None:
            sentence += f" in {self.where}"
        if self.found is not None:
            sentence += f" (found: {self.found})"
        return f"{sentence}. {self.fix.rstrip('.')}." if self.fix else f"{sentence}."

    def __reduce__(self) -> tuple[object, ...]:
        # A worker process hands its error back whole: keyword arguments need this.
        return _rebuild, (type(self), self.what, self.where, self.found, self.fix, self.code)


def _rebuild(
    kind: type[ClinicaDLError],
    what: str,
    where: object,
    found: object,
    fix: str | None,
    code: str | None,
) -> ClinicaDLError:
    return kind(what, where=where, found=found, fix=fix, code=code)


class UsageError(ClinicaDLError):
    """The command cannot mean anything: an option or setting is off."""

    exit_code = 2
    code = "usage"


class MissingExtraError(UsageError):
    """A command needs a package that comes with an extra."""

    code = "missing-extra"

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"This needs the package {package}, which is not installed",
            fix=f'Run: pip install "clinicadl[{extra}]"',
        )
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[object, ...]:
        return MissingExtraError, (self.package, self.extra)


class PartialError(ClinicaDLError):
    """The work is done except for some images, which are listed."""

    exit_code = 3
    code = "partial"


class LeakageError(ClinicaDLError):
    """An evaluation would have been contaminated; the participants are named."""

    exit_code = 4
    code = "leakage"


class InvalidDataError(ClinicaDLError):
    """A file was read and what it says is wrong."""

    exit_code = 65
    code = "invalid-data"


class MissingInputError(ClinicaDLError):
    """A file, folder, image or column that is needed is absent or cannot be read."""

    exit_code = 66
    code = "missing-input"


class OutputError(ClinicaDLError):
    """The output exists already, or cannot be written."""

    exit_code = 73
    code = "output-exists"


class CannotResumeError(ClinicaDLError):
    """The configuration or the data changed since the run was interrupted."""

    exit_code = 75
    code = "cannot-resume"


INTERRUPTED = 130
"""Exit code after Ctrl-C."""

MORE = "More: clinicadl explain"
"""How the line begins that leads from an error to its page."""


def kind_of(exit_code: int | None) -> type[ClinicaDLError]:
    """Return the error that ends a command with this exit code.

    Examples
    --------
    >>> kind_of(73).__name__, kind_of(-9).__name__
    ('OutputError', 'ClinicaDLError')
    """
    kinds = ClinicaDLError.__subclasses__()
    return next((kind for kind in kinds if kind.exit_code == exit_code), ClinicaDLError)


def listed(names: Iterable[object], *, most: int = 10) -> str:
    """Return the first names of a collection, in one line, with the rest counted.

    Examples
    --------
    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    texts = [str(name) for name in names]
    shown = ", ".join(texts[:most])
    return shown if len(texts) <= most else f"{shown} and {len(texts) - most} more"
