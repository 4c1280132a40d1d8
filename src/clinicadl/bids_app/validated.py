"""Whether a data set is what BIDS asks for."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

from clinicadl.errors import ClinicaDLError, InvalidDataError, listed

logger = logging.getLogger(__name__)

PROGRAM = "bids-validator-deno"
"""The validator of BIDS, as the extra ``bids`` installs it; it asks nobody on the network."""


def program() -> str | None:
    """Return the validator, beside this Python or in the path; none where it is not installed."""
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return shutil.which(PROGRAM, path=places)


def check(bids: Path) -> None:
    """Refuse a data set that the validator of BIDS finds errors in; warn where there is none.

    Raises
    ------
    InvalidDataError
        There are errors; the first are named.
    ClinicaDLError
        The validator cannot be run.
    """
    validator = program()
    if validator is None:
        logger.warning(
            'the data set is not validated: run pip install "clinicadl[bids]", or say that this is '
            "known with --skip_bids_validator"
        )
        return
    words = [validator, "--format", "json", "--ignoreWarnings", str(bids)]
    done = subprocess.run(  # noqa: S603  # a program of an extra, and no shell
        words, capture_output=True, text=True, check=False
    )
    try:
        issues = json.loads(done.stdout)["issues"]["issues"]
    except (ValueError, LookupError, TypeError) as error:
        raise ClinicaDLError(
            "The validator of BIDS said nothing that can be read", where=validator,
            found=(done.stderr or done.stdout)[:200] or f"exit code {done.returncode}",
            fix="Look for the reason, or go on with --skip_bids_validator",
        ) from error  # fmt: skip
    errors = [one for one in issues if one.get("severity") == "error"]
    if errors:
        said = (f"{one.get('code')} {one.get('location', '')}".strip() for one in errors)
        raise InvalidDataError(
            f"The validator of BIDS finds {len(errors)} errors", where=bids, found=listed(said),
            fix="Mend them, or go on in spite of them with --skip_bids_validator",
        )  # fmt: skip
