"""How well quality-check t1-linear tells good registrations from wrong ones, and how fast.

The images are those of the participants that scripts/calibrate_quality.py leaves out: as they are,
as other scanners and brain masks would make them, and in heads; good, or with a fault of known
kind and size. With the folder of a CAPS of images registered otherwise, its images are judged too.

    python benchmarks/quality.py [CAPS]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from measure import REAL, ROOT, line
from sklearn.metrics import roc_auc_score

from clinicadl.layouts import images
from clinicadl.quality.registration import measures, probability, reason
from clinicadl.quality.registration_align import Template, read_template
from clinicadl.quality.registration_simulated import FAULTS, LEAST

sys.path.insert(0, str(ROOT / "scripts"))
from calibrate_quality import EVALUATION, samples  # it lies beside

_FULL = "t1-linear-caps/subjects/*/*/t1_linear/*_T1w.nii.gz"
_INVISIBLE = "flipped along x"


def simulated(template: Template) -> None:
    """Print how many images of each kind pass, and how well they are told from good ones."""
    found = [
        (name, size, probability(one))
        for name, size, one in samples(REAL, EVALUATION, template, every=True)
    ]
    good = [one for name, _, one in found if not name]
    passed = np.mean(np.array(good) > 0.5)
    print(f"{'good':<20} {'':>12}  n {len(good):4d}  pass {100 * passed:5.1f} %")
    counted: list[float] = []
    for name, fault in FAULTS.items():
        for size in fault.sizes:
            bad = [one for kind, large, one in found if (kind, large) == (name, size)]
            if size >= LEAST.get(name, 0.0) and name != _INVISIBLE:
                counted += bad
            of_size = f"{size:g} {fault.unit}" if size else ""
            print(
                f"{name:<20} {of_size:>12}  n {len(bad):4d}  pass "
                f"{100 * np.mean(np.array(bad) > 0.5):5.1f} %  AUC {_auc(good, bad):.4f}"
            )
    print(f"all that count: AUC {_auc(good, counted):.4f} (goal 0.99)")
    print(f"good images that pass: {100 * passed:.1f} % (goal 98 %)")


def _auc(good: list[float], bad: list[float]) -> float:
    return float(roc_auc_score([1] * len(good) + [0] * len(bad), good + bad))


def registered(paths: list[Path], template: Template) -> None:
    """Print what is thought of images, one by one."""
    for path in paths:
        found = measures(images.read(path), template, path)
        likely = probability(found)
        print(f"{path.name.partition('_space')[0]:<30} {likely:.3f}  "
              f"{reason(found) if likely <= 0.5 else ''}")  # fmt: skip


def speed(template: Template) -> None:
    """Print the seconds that an image of 169x208x179 takes, beside those of reading it."""
    path = sorted(REAL.glob(_FULL))[0]
    reading, whole = [], []
    for _ in range(5):
        start = time.perf_counter()
        image = images.read(path)
        reading.append(time.perf_counter() - start)
        measures(image, template, path)
        whole.append(time.perf_counter() - start)
    line("quality-check t1-linear, an image of 169x208x179", min(whole), min(reading), "<= 1 s")


def main() -> None:
    """Print it all."""
    template = read_template(None)
    speed(template)
    registered(sorted(REAL.glob(_FULL)), template)
    if len(sys.argv) > 1:
        registered(sorted(Path(sys.argv[1]).rglob("*_T1w.nii.gz")), template)
    simulated(template)


if __name__ == "__main__":
    main()
