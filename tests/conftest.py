"""What many tests share: real objects on tiny inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans, or a skip that says why."""
    if not REAL.is_dir():
        pytest.skip(
            f"the real scans are not beside the repository ({REAL.parent.name}/{REAL.name})"
        )
    return REAL
