"""Read mutants in a process of its own: `python dicom_fuzz.py FIRST COUNT FOLDER`.

Before each mutant its seed is printed, and after it one line of JSON; so a crash or a hang has its
seed too. The process may hold `BYTES` in memory, and a mutant take `SECONDS`.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import shutil
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
from dicom_mutation import mutant
from dicom_truth import assert_discreet

from medgen.dicom.choice import Choice
from medgen.dicom.frames import Series
from medgen.dicom.reading import digest_of_series, read_series
from medgen.problems import Refusal

BYTES = 2 << 30
_RESERVED = 6 << 30  # a damaged length may reserve 4 GiB that nobody touches
SECONDS = 20.0
_CHOICES = {
    "PET": (Choice(unit="SUV"), Choice()),
    "enhanced PET": (Choice(unit="SUV"), Choice()),
    "echoes": (Choice(echo=1), Choice(echo=2, straighten=True), Choice()),
    "phases": (Choice(phase=2), Choice(phase=1, straighten=True), Choice()),
}


def main(first: int, count: int, folder: Path) -> None:
    """Print how each of `count` mutants ends: refused, read, or failed with its traceback."""
    resource.setrlimit(resource.RLIMIT_AS, (_RESERVED, _RESERVED))
    warnings.simplefilter("error")
    for seed in range(first, first + count):
        print(f"seed {seed}", flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            outcome, codes = judge(seed, folder)
            if peak_bytes() > BYTES:
                outcome = f"failed: it took {peak_bytes() >> 20} MiB"
        except BaseException:  # what a decoder in Rust raises is no Exception
            outcome, codes = f"failed: {traceback.format_exc()}", []
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps({"seed": seed, "outcome": outcome, "codes": codes}), flush=True)


def judge(seed: int, folder: Path) -> tuple[str, list[str]]:
    """Write and read one mutant; return how it ended, and with which codes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what makes the mutants
        name, contents = mutant(seed)
    for number, content in enumerate(contents):
        (folder / f"{number}.dcm").write_bytes(content)
    choices = _CHOICES.get(name, (Choice(), Choice(), Choice(straighten=True)))
    choice = choices[seed % len(choices)]
    digest_of_series(folder, choice)
    try:
        series = read_series(folder, choice)
    except Refusal as refusal:
        assert_discreet(refusal.problems, besides=["MemoryError"])
        codes = sorted({problem.code for problem in refusal.problems})
        return "refused" if codes else "refused without a reason", codes
    assert_discreet(series.notes)
    assert_well_formed(series)
    return "read", [note.code for note in series.notes]


def assert_well_formed(series: Series) -> None:
    """Fail unless a series is a volume that all that follows may rely on."""
    facts = series.facts
    assert series.data.ndim == 3
    assert series.data.shape == facts.shape
    assert min(facts.shape) >= 2
    assert np.isfinite(series.data).all()
    assert facts.affine.shape == (4, 4)
    assert np.isfinite(facts.affine).all()
    spacing = np.linalg.norm(facts.affine[:3, :3], axis=0)
    assert (spacing > 0).all()
    assert abs(np.linalg.det(facts.affine[:3, :3] / spacing)) > 1e-3
    assert series.valid is None or series.valid.shape == facts.shape
    assert facts.straightened or len(facts.frames) == facts.shape[2]
    assert series.unit in ("HU", "Bq/ml", "SUV", "arbitrary")


def peak_bytes() -> int:
    """Return the most memory that this process ever held."""
    # Not ru_maxrss: a new program inherits that of the process which started it.
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
