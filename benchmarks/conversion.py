"""How fast whole volumes are converted, beside MONAI's inferer and a loop as its tutorials go.

    python benchmarks/conversion.py --run RUN --output conversion --data cases.csv
    python benchmarks/conversion.py --run RUN --output conversion --input DIR
    python benchmarks/conversion.py --run RUN --output conversion --shape 256x256x192

- `--data`: single test cases of a table, on the device alone (conversion_volumes.py): MONAI's
  `SlidingWindowInferer` with windows of the training patch at 0.25 and 0.5 overlap, medgen's
  windows as the run asks for them, and the network's own forward passes on the windows that medgen
  visits, each in fp32 and bf16. Errors are against the truth inside the body; differences are to
  MONAI's answer at 0.5 overlap in fp32; seam energy (seam_energy.py) is measured where medgen's
  windows meet, of medgen's answer and of that reference.
- `--input`: a folder of .nii.gz files from the first one opened to the last one written
  (conversion_cohort.py), by `medgen convert` and by MONAI's loop (monai_conversion.py), each in a
  process of its own and in the precision that `auto` means on the device.
- `--shape`: volumes per second of the device's part on an encoded volume of noise of that shape,
  all of it body; on a GPU also how busy it was.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from pathlib import Path

import conversion_cohort
import conversion_volumes
import numpy as np
import torch
from seams import rows_of, subject_of

from medgen.files import write_json
from medgen.runs import Model, choose_device, choose_precision, load_model


def main() -> None:
    """Run the parts that are asked for and print their tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="table with source and target: single volumes")
    parser.add_argument("--input", type=Path, help="folder of .nii.gz files: a cohort")
    parser.add_argument("--shape", help="voxels of a volume of noise, such as 256x256x192")
    parser.add_argument("--split", default="test")
    parser.add_argument("--volumes", type=int, default=2, help="how many cases of the table; 2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = choose_device(chosen.device)
    model = load_model(chosen.run, device=device)
    print(f"device {device}, {torch.get_num_threads()} threads, patch {model.patch}")
    if chosen.data is not None:
        rows = rows_of(model, chosen.data, chosen.split)[: chosen.volumes]
        subjects = [subject_of(model, row) for row in rows]
        found = [
            conversion_volumes.timed(model, subject, device, rounds=chosen.rounds)
            for subject in subjects
        ]
        write_json(chosen.output / "volumes.json", found)
        print("\n".join(conversion_volumes.table(found, subjects[0].codec.unit)))
    if chosen.input is not None:
        totals = conversion_cohort.measured(
            chosen.run, chosen.input, chosen.output, chosen.device, rounds=chosen.rounds
        )
        write_json(chosen.output / "cohort.json", totals)
        print("\n".join(conversion_cohort.table(totals)))
    if chosen.shape is not None:
        x, y, z = (int(count) for count in chosen.shape.split("x"))
        print(throughput(model, device, (x, y, z), rounds=chosen.rounds))


def throughput(
    model: Model, device: torch.device, shape: tuple[int, int, int], *, rounds: int
) -> str:
    """Return how many volumes a second the device answers, and how busy it was."""
    count = len(model.preprocessing.inputs)
    noise = np.random.default_rng(0).standard_normal((count, *shape), dtype=np.float32)
    windows = conversion_volumes.windows_of(model, device, choose_precision("auto", device))
    background = np.zeros(1, dtype=np.float32)
    windows(noise, background=background)  # what the first call alone pays is not counted
    seconds, busy = [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        windowed = windows(noise, background=background)
        conversion_volumes.wait(device)
        busy.append(utilisation(device))
        seconds.append(time.perf_counter() - begun)
    middle = statistics.median(seconds)
    told = f"{shape}: {1 / middle:.3f} volumes/s ({middle:.2f} s, {len(windowed.tiling)} windows)"
    return f"{told}{busy[-1]}"


def utilisation(device: torch.device) -> str:
    """Return the share of the last second in which a GPU had work, as its driver tells."""
    if device.type != "cuda":
        return ""
    asked = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader"]
    told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    return f", GPU busy {told.splitlines()[device.index or 0].strip()}"


if __name__ == "__main__":
    main()
