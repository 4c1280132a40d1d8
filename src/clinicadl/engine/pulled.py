"""What a pulled MAPS says of those whom its models have seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clinicadl.errors import InvalidDataError
from clinicadl.guard.check import Verdict
from clinicadl.layouts.files import read_json
from clinicadl.layouts.maps import names
from clinicadl.layouts.maps.folder import Maps
from clinicadl.layouts.maps.shared import Seen

_RULES = ("seen-participants", "seen-sessions", "seen-images", "re-scanned-images")


def crowd(maps: Maps, verdict: Verdict) -> Iterator[str]:
    """Yield who may have been in the training of pulled models; nothing of others.

    Parameters
    ----------
    maps
        The MAPS.
    verdict
        What the guard said of the data group that is looked at.

    Raises
    ------
    InvalidDataError
        The description of the pulled models is damaged.
    """
    if maps.record.pulled is None:
        return
    content = read_json(names.shared(maps.path), "description of the pulled models")
    try:
        seen = Seen.model_validate(content.get("seen"))
    except ValueError as error:
        raise InvalidDataError(
            "The description of the pulled models is damaged", where=names.shared(maps.path),
            fix="Pull them again",
        ) from error  # fmt: skip
    found = {who for one in verdict.findings if one.rule in _RULES for who in one.participants}
    known = f"{len(found)} of them may be" if found else "none of them is known to be"
    yield f"the models were pulled, and trained on {said(seen)}; {known} in this data group"


def said(seen: Seen) -> str:
    """Return on whom models were trained, in one line."""
    texts = [f"{seen.n_participants} participants", f"{seen.n_sessions} sessions"]
    texts.append(f"{years(seen.ages)} years" if seen.ages else "ages not told")
    texts.append(_counted(seen.sexes) or "sexes not told")
    if seen.labels:
        texts.append(f"sessions by class: {_counted(seen.labels)}")
    cohorts = ", ".join(plain(one) for one in seen.cohorts)
    texts.append(f"cohorts {cohorts}" if cohorts else "cohorts not told")
    return "; ".join(texts)


def years(ages: tuple[float, float]) -> str:
    """Return a range of ages."""
    return f"{ages[0]:g} to {ages[1]:g}"


def plain(text: str) -> str:
    """Return a text of a stranger that can neither break a table nor move a terminal."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    return shown.replace("|", "/").replace("<", "(").replace(">", ")")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{plain(name)} {n}" for name, n in counts.items())
