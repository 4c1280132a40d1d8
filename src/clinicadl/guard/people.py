"""Who is whom, where the numbers of several cohorts are told apart."""

from __future__ import annotations

from collections.abc import Iterable

from clinicadl.guard.identity import same_participants

OF_COHORT = ": "
"""Between a cohort and a participant of it, in the names of people."""


def in_cohort(cohort: str, participant: str) -> str:
    """Return the name of a participant of one cohort among several.

    Examples
    --------
    >>> in_cohort("Lyon", "sub-01"), cohort_of("Lyon: sub-01"), bare("Lyon: sub-01"), bare("sub-01")
    ('Lyon: sub-01', 'Lyon', 'sub-01', 'sub-01')
    """
    return f"{cohort}{OF_COHORT}{participant}"


def bare(name: str) -> str:
    """Return a participant without the cohort."""
    return name.partition(OF_COHORT)[2] or name


def cohort_of(name: str) -> str:
    """Return the cohort of a participant; nothing where none is told."""
    cohort, sign, _ = name.partition(OF_COHORT)
    return cohort if sign else ""


def same_people(these: Iterable[str], those: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return who of ``these`` is among ``those``; one number in two cohorts is two people.

    A cohort that is not told may be any. Names come sorted, whatever their order was.

    Examples
    --------
    >>> same_people(["Lyon: sub-01", "Graz: sub-02"], ["Lyon: 1", "Lyon: 2"])
    {'Lyon: sub-01': ('Lyon: 1',)}
    """
    mine, theirs = _by_cohort(these), _by_cohort(those)
    found: dict[str, tuple[str, ...]] = {}
    for cohort, names in mine.items():
        for other, others in theirs.items():
            if cohort and other and cohort != other:
                continue
            for name, same in same_participants(names, others).items():
                whole = (others[one] for one in same)
                found[names[name]] = (*found.get(names[name], ()), *whole)
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


def _by_cohort(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return cohort -> bare name -> whole name."""
    cohorts: dict[str, dict[str, str]] = {}
    for name in names:
        cohorts.setdefault(cohort_of(name), {})[bare(name)] = name
    return cohorts
