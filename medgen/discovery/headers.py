"""The DICOM files of a tree as series, by their headers: small facts, and no names of folders."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydicom.dataset import Dataset

from medgen.dicom.index import HeaderError, read_header
from medgen.dicom.values import (
    items_of,
    modality_of,
    number_of,
    numbers_of,
    quiet,
    text_of,
    texts_of,
    value_of,
)
from medgen.discovery.objects import object_name
from medgen.limits import Limits
from medgen.problems import Problem

OnHeader = Callable[[int, int], None]
"""Is told how many headers were read, of how many."""


@dataclass(frozen=True)
class Head:
    """What one image file's header says, as far as a scan asks; missing values are empty.

    Patients' words: nothing of this may be printed or logged.
    """

    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    birth_date: str = field(repr=False)
    sex: str = field(repr=False)
    study: str = field(repr=False)
    study_moment: str = field(repr=False)
    series: str = field(repr=False)
    frame_of_reference: str = field(repr=False)
    number: int | None
    modality: str
    sop_class: str
    description: str = field(repr=False)
    protocol: str = field(repr=False)
    model: str = field(repr=False)
    contrast_agent: bool
    image_type: tuple[str, ...]
    corrections: tuple[str, ...]
    scanning_sequence: tuple[str, ...]
    synthetic: bool
    echo_time_ms: float | None
    repetition_time_ms: float | None
    inversion_time_ms: float | None
    b_value: bool
    voxel_mm3: float | None
    """Pixel area times slice spacing, or thickness where no spacing is written."""


@dataclass(eq=False)
class TreeSeries:
    """The image files of one SeriesInstanceUID; of one folder where the UID is blank."""

    head: Head
    """Of the first file."""
    files: list[PurePosixPath] = field(default_factory=list)
    slices: int = 0
    localizers: int = 0
    patients: set[tuple[str, str]] = field(default_factory=set)

    @property
    def folder(self) -> PurePosixPath:
        """Return the innermost folder that holds all files."""
        shared = list(self.files[0].parts[:-1])
        for file in self.files:
            parts = file.parts[:-1]
            same = [a == b for a, b in zip(shared, parts, strict=False)]
            shared = shared[: same.index(False) if False in same else len(same)]
        return PurePosixPath(*shared)


@dataclass
class Headers:
    """What the headers of a tree tell."""

    series: list[TreeSeries] = field(default_factory=list)
    objects: dict[str, list[PurePosixPath]] = field(default_factory=lambda: defaultdict(list))
    """Files without pixels, by what they are."""
    unread: dict[Problem, list[PurePosixPath]] = field(default_factory=lambda: defaultdict(list))


def read_headers(
    root: Path,
    files: Sequence[PurePosixPath],
    *,
    limits: Limits = Limits(),  # noqa: B008
    on_header: OnHeader = lambda done, total: None,
) -> Headers:
    """Read the header of every file and group the images into series.

    Headers are let go as soon as they are read, so that a hospital's archive fits in memory.
    """
    found = Headers()
    groups: dict[tuple[str, str], TreeSeries] = {}
    for done, file in enumerate(files, 1):
        on_header(done, len(files))
        try:
            header = read_header(root / file, limits=limits)
        except HeaderError as error:
            found.unread[error.problem].append(file)
            continue
        if header is None:
            continue  # it was changed since its folder was listed
        with quiet():
            _take(found, groups, file, header)
    found.series = sorted(groups.values(), key=lambda one: one.files[0].parts)
    return found


def _take(
    found: Headers,
    groups: dict[tuple[str, str], TreeSeries],
    file: PurePosixPath,
    header: Dataset,
) -> None:
    if "Rows" not in header and "Columns" not in header:
        found.objects[object_name(_word(header, "SOPClassUID"))].append(file)
        return
    uid = _word(header, "SeriesInstanceUID")
    key = (uid, "" if uid else str(file.parent))
    if key not in groups:
        groups[key] = TreeSeries(_head(header))
    series = groups[key]
    series.files.append(file)
    series.slices += max(1, _whole(header, "NumberOfFrames") or 1)
    series.localizers += "LOCALIZER" in texts_of(header, "ImageType")
    series.patients.add((_word(header, "IssuerOfPatientID"), _word(header, "PatientID")))


def _head(header: Dataset) -> Head:
    image_type = texts_of(header, "ImageType")
    return Head(
        patient_id=_word(header, "PatientID"),
        issuer=_word(header, "IssuerOfPatientID"),
        birth_date=_word(header, "PatientBirthDate"),
        sex=text_of(header, "PatientSex"),
        study=_word(header, "StudyInstanceUID"),
        study_moment=_word(header, "StudyDate") + _word(header, "StudyTime"),
        series=_word(header, "SeriesInstanceUID"),
        frame_of_reference=_word(header, "FrameOfReferenceUID"),
        number=_whole(header, "SeriesNumber"),
        modality=modality_of(header),
        sop_class=_word(header, "SOPClassUID"),
        description=_word(header, "SeriesDescription"),
        protocol=_word(header, "ProtocolName"),
        model=_word(header, "ManufacturerModelName"),
        contrast_agent=bool(_word(header, "ContrastBolusAgent")),
        image_type=image_type,
        corrections=texts_of(header, "CorrectedImage"),
        scanning_sequence=texts_of(header, "ScanningSequence"),
        # A simulated acquisition is ORIGINAL all the same; what medgen computed is DERIVED.
        synthetic=text_of(header, "SyntheticData") == "YES" and "ORIGINAL" not in image_type[:1],
        echo_time_ms=_finite(header, "EchoTime"),
        repetition_time_ms=_finite(header, "RepetitionTime"),
        inversion_time_ms=_finite(header, "InversionTime"),
        b_value=value_of(header, "DiffusionBValue") is not None,
        voxel_mm3=_voxel(header),
    )


def _voxel(header: Dataset) -> float | None:
    measures = header
    for keyword in ("SharedFunctionalGroupsSequence", "PixelMeasuresSequence"):
        measures = next(iter(items_of(measures, keyword)), measures)
    area = numbers_of(measures, "PixelSpacing")
    gap = _finite(measures, "SpacingBetweenSlices") or _finite(measures, "SliceThickness")
    volume = abs(area[0] * area[1] * gap) if len(area) == 2 and gap else 0.0
    return volume if math.isfinite(volume) and volume > 0 else None


def _word(header: Dataset, keyword: str) -> str:
    value = value_of(header, keyword)
    return "" if value is None else str(value).strip(" \0")


def _finite(header: Dataset, keyword: str) -> float | None:
    number = number_of(header, keyword)
    return number if number is not None and math.isfinite(number) else None


def _whole(header: Dataset, keyword: str) -> int | None:
    number = _finite(header, keyword)
    return int(number) if number is not None and abs(number) < 1 << 31 else None


def series_below(series: Iterable[TreeSeries]) -> Counter[PurePosixPath]:
    """Return how many series have a file in each folder or below it."""
    counts: Counter[PurePosixPath] = Counter()
    for one in series:
        counts.update({above for file in one.files for above in file.parents})
    return counts
