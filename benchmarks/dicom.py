"""How long reading DICOM takes, beside other readers in the same run.

    python benchmarks/dicom.py series --output dicom_speed
    python benchmarks/dicom.py series --output dicom_speed --syntax jpeg-ls
    python benchmarks/dicom.py index --output dicom_speed

`series` makes a CT of 160 x 512 x 512 voxels, by itself in a folder, and reads it with each reader
in turn, over and over, so that whatever else the machine does meets all alike. Every reader starts
from the folder; `SimpleITK, files listed` is spared finding and sorting the files. The values and
their places must agree. `index` lists the series of a tree of 2,000 files by header.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from monai.data.image_reader import PydicomReader
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless
from scipy import ndimage

from medgen.dicom.index import index_tree
from medgen.dicom.reading import read_series
from medgen.phantom.dicom import write_series
from medgen.phantom.headers import Visit
from medgen.volumes import Grid, Volume

SYNTAXES = {
    "native": ExplicitVRLittleEndian,
    "jpeg-ls": JPEGLSLossless,
    "j2k": JPEG2000Lossless,
    "rle": RLELossless,
}
SPACING_MM = (0.5, 0.5, 1.0)
FIRST = "medgen"


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["series", "index"])
    parser.add_argument("--output", type=Path, required=True, help="where the files are made")
    parser.add_argument("--syntax", choices=sorted(SYNTAXES), default="native")
    parser.add_argument("--slices", type=int, default=160)
    parser.add_argument("--pixels", type=int, default=512, help="rows and columns of a slice")
    parser.add_argument("--files", type=int, default=2000, help="index: files in the tree")
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    {"series": series, "index": index}[chosen.what](chosen)


def series(chosen: argparse.Namespace) -> None:
    """Time reading one series into an array."""
    shape = (chosen.pixels, chosen.pixels, chosen.slices)
    folder = chosen.output / f"{chosen.syntax}_{'x'.join(map(str, shape))}"
    if not folder.exists():
        _make(folder, shape, chosen.syntax)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    readers: dict[str, Callable[[], Any]] = {
        FIRST: lambda: read_series(folder),
        "SimpleITK": lambda: _by_simpleitk(folder),
        "SimpleITK, files listed": lambda: sitk.ReadImage(names),
        "MONAI PydicomReader": lambda: _by_monai(folder),
    }
    _compare(readers)
    _report(_timed(readers, chosen.repeats), f"{chosen.syntax}, {shape}")


def index(chosen: argparse.Namespace) -> None:
    """Time finding the series in a tree by header."""
    tree = chosen.output / f"tree_{chosen.files}"
    per_series = 50
    for number in range(chosen.files // per_series):
        folder = tree / f"{number % 5}" / f"{number}"
        if not folder.exists():
            _make(folder, (64, 64, per_series), "native", recipe=str(number))
    found = index_tree(tree)
    assert sum(len(one.instances) for one in found.series) == chosen.files
    assert len(found.series) == chosen.files // per_series
    programs: dict[str, Callable[[], Any]] = {
        FIRST: lambda: index_tree(tree),
        "pydicom, whole headers": lambda: _headers(tree),
        "SimpleITK, folder by folder": lambda: [
            sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
            for folder in sorted(tree.glob("*/*"))
        ],
    }
    _report(_timed(programs, chosen.repeats), f"index of {chosen.files} files")


def _make(folder: Path, shape: tuple[int, int, int], syntax: str, *, recipe: str = "") -> None:
    """Write a CT that is smooth under noise of 10 HU, as patients are, in a transfer syntax."""
    generator = np.random.default_rng(0)
    coarse = generator.uniform(-1000.0, 1500.0, tuple(max(2, count // 32) for count in shape))
    zoom = np.array(shape) / coarse.shape
    data = ndimage.zoom(coarse, zoom, order=1).astype(np.float32)
    data += generator.standard_normal(shape, dtype=np.float32) * 10.0
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    visit = Visit("head-000", "person-000", 0, recipe, True, 0.1, {})
    write_series(folder, Volume(data, Grid(shape, affine), unit="HU"), visit, "ct")
    if syntax != "native":
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            dataset.compress(SYNTAXES[syntax], generate_instance_uid=False)
            dataset.save_as(path)


def _by_simpleitk(folder: Path) -> sitk.Image:
    return sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))


def _by_monai(folder: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    reader = PydicomReader()
    data, facts = reader.get_data(reader.read(str(folder)))
    return np.asarray(data), facts


def _headers(tree: Path) -> int:
    paths = [Path(parent, name) for parent, _, names in os.walk(tree) for name in names]
    return sum(1 for path in paths if pydicom.dcmread(path, stop_before_pixels=True).Rows > 0)


def _compare(readers: Mapping[str, Callable[[], Any]]) -> None:
    """Make sure that all have read the same voxels at the same places."""
    mine = readers[FIRST]()
    image = readers["SimpleITK"]()
    assert np.array_equal(sitk.GetArrayViewFromImage(image).T, mine.data)
    corner = np.array(mine.data.shape) - 1.0
    lps = image.TransformContinuousIndexToPhysicalPoint(corner.tolist())
    ras = mine.facts.affine @ (*corner, 1.0)
    assert np.abs(np.array(lps) * (-1.0, -1.0, 1.0) - ras[:3]).max() < 1e-3
    assert np.array_equal(readers["MONAI PydicomReader"]()[0], mine.data)


def _timed(readers: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each reader; in each repeat another one comes first."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    names = list(readers)
    for repeat in range(repeats):
        first = repeat % len(names)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            answer = readers[name]()
            seconds[name].append(time.perf_counter() - started)
            del answer
    return seconds


def _report(seconds: Mapping[str, list[float]], what: str) -> None:
    mine = statistics.median(seconds[FIRST])
    print(f"{what}; {len(seconds[FIRST])} repeats in turn")
    for name, times in seconds.items():
        median = statistics.median(times)
        spread = f"{min(times):.2f}-{max(times):.2f}"
        print(f"{name:28} {median:7.2f} s ({spread} s)   medgen / this: {mine / median:.2f}")


if __name__ == "__main__":
    main()
