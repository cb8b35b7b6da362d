"""Write the table and the configuration of the real brain masks, for `medgen train`.

    export MEDGEN_REAL_DATA=...           # the folder that holds heads/
    python benchmarks/real_brains.py real_brains

Heads with a T1 and a brain mask, a row each; the split is the configuration's, by patient. The
masks are those that came with the heads: automatic ones, checked by nobody here.
"""

import csv
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import yaml

CONFIG = Path(__file__).parents[1] / "configs" / "tissue_segmentation.yaml"


def write_table(heads: Path, folder: Path) -> int:
    """Write the table of every head that has both files, and return how many there are."""
    rows = []
    for head in sorted(heads.iterdir()):
        files = [head / name for name in ("t1.nii.gz", "brain.nii.gz")]
        if all(file.is_file() for file in files):
            rows.append([head.name, head.name, *(os.path.relpath(file, folder) for file in files)])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([["case", "patient", "t1", "brain"], *rows])
    return len(rows)


def write_configuration(folder: Path) -> None:
    """Write the tissue configuration with one class, the brain."""
    raw = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    raw["roles"] |= {"source": ["t1"], "label": ["brain"]}
    del raw["intensity"]["t2"]
    raw["labels"] = {"brain": 1}
    raw["train"] |= {"steps": 600, "validate": {**raw["train"]["validate"], "every_steps": 300}}
    raw["train"]["augment"] |= {"rotate_degrees": 10, "scale": 0.1}
    raw["convert"]["keep_largest"] = ["brain"]
    path = folder / "brain_mask.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder for the table and the configuration")
    chosen = parser.parse_args()
    place = os.environ.get("MEDGEN_REAL_DATA")
    if not place:
        sys.exit("set MEDGEN_REAL_DATA to the folder that holds heads/")
    count = write_table(Path(place) / "heads", chosen.output)
    write_configuration(chosen.output)
    print(f"{count} heads: {chosen.output / 'cases.csv'} and {chosen.output / 'brain_mask.yaml'}")
