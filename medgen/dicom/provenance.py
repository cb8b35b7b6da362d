"""What a derived file says of its making: synthetic, by which model, for research use only."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medgen.dicom.frames import SeriesFacts
from medgen.dicom.identifiers import hashed_uid
from medgen.dicom.references import code
from medgen.dicom.values import text_of, whole_of

if TYPE_CHECKING:
    from medgen.dicom.derived import Derivation

MANUFACTURER = "Open research software"
"""dcm2niix goes by the first two letters: ME is Mediso, and SI, GE, PH, TO, CA, UI, BR, HI, HY, LF
and MR are taken as well."""
PRODUCT = "medgen"
RESEARCH_ONLY = "RESEARCH USE ONLY"
NOTICE = (
    "Research use only. Computed by a neural network, not acquired: "
    "not for diagnosis, treatment or planning. medgen is not a medical device."
)
STRAIGHTENED = (
    "Slices were resampled onto an even, upright grid before the answer was computed: "
    "its pixels are not those of the source images"
)
IMAGE_SERIES, MASK_SERIES, MAP_SERIES = 1000, 2000, 3000
"""What is added to the source's SeriesNumber, so that a study lists sources and answers apart."""

_LONG_STRING = 64  # characters of LO; ST holds 1024: PS3.5 6.2
_SHORT_TEXT = 1024
_LARGEST_NUMBER = 2**31 - 1
_PROCESSING = ("109102", "DCM", "Processing Equipment")
RESAMPLED = ("113085", "DCM", "Spatial resampling")
SEGMENTED = ("113076", "DCM", "Segmentation")


def declare(
    target: Dataset, source: SeriesFacts, derivation: Derivation, *, title: str, offset: int
) -> None:
    """Write number, description, times, equipment and the notice of a derived instance.

    `title` says in words what the series is; `offset` is added to the source's SeriesNumber.
    """
    number = max(0, whole_of(source.frames[0].header, "SeriesNumber") or 0) + offset
    target.SeriesNumber = number if number <= _LARGEST_NUMBER else offset
    target.SeriesDescription = described(title, derivation.model)
    target.SyntheticData = "YES"
    target.ContentQualification = "RESEARCH"
    target.ImageComments = NOTICE
    how = _how(source, derivation)
    target.DerivationDescription = how
    _date(target, derivation.moment)
    target.Manufacturer = MANUFACTURER
    target.ManufacturerModelName = PRODUCT
    target.SoftwareVersions = text(derivation.version)
    target.DeviceSerialNumber = text(derivation.weights_digest)
    target.ContributingEquipmentSequence = Sequence([_equipment(derivation, how)])


def described(title: str, model: str) -> str:
    """Return a description that says what, by which model as far as there is room, and the rule."""
    room = _LONG_STRING - len(title) - len(RESEARCH_ONLY) - len(" (), ")
    name = f" ({text(model)[:room]})" if room > 0 and text(model) else ""
    return f"{title}{name}, {RESEARCH_ONLY}"


def derivation_codes(source: SeriesFacts, *codes: tuple[str, str, str]) -> Sequence:
    """Return the Derivation Code Sequence (CID 7203); it may be empty, and is then left out.

    CID 7203 has no code for an image synthesised by a model; DerivationDescription says it.
    """
    if source.straightened:
        codes = (*codes, RESAMPLED)
    return Sequence(code(*one) for one in codes)


def text(words: str, length: int = _LONG_STRING) -> str:
    r"""Return words as any character set can hold them: ASCII without controls and without "\"."""
    plain = words.encode("ascii", "replace").decode()
    return "".join(one if one.isprintable() and one != "\\" else "?" for one in plain)[:length]


def _how(source: SeriesFacts, derivation: Derivation) -> str:
    """Return how it was made; only the caller's own sentence is cut where there is no room."""
    made_of = (
        f"model {text(derivation.model)}, weights SHA-256 {text(derivation.weights_digest)}, "
        f"settings SHA-256 {text(derivation.settings_digest)}, {PRODUCT} {text(derivation.version)}"
    )
    facts = f"{STRAIGHTENED}. {made_of}" if source.straightened else made_of
    said = text(derivation.description, _SHORT_TEXT - len(facts) - len(NOTICE) - len(". . "))
    return f"{said}. {facts}. {NOTICE}" if said else f"{facts}. {NOTICE}"


def _equipment(derivation: Derivation, how: str) -> Dataset:
    """Return the item that names the program and the model in it (PS3.3 C.12.1.1.5).

    DeviceUID is hashed from the weights, so that a model trained again is another device.
    """
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = Sequence([code(*_PROCESSING)])
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = text(derivation.model) or PRODUCT
    item.SoftwareVersions = f"{PRODUCT} {text(derivation.version)}"[:_LONG_STRING]
    item.DeviceSerialNumber = text(derivation.weights_digest)
    item.DeviceUID = hashed_uid("device", derivation.weights_digest)
    # With its own offset: else TimezoneOffsetFromUTC, which is the source's, would hold for it.
    item.ContributionDateTime = f"{derivation.moment:%Y%m%d%H%M%S.%f%z}"
    item.ContributionDescription = how
    return item


def _date(target: Dataset, moment: datetime) -> None:
    """Write when it was made, by the clock that the source's dates go by where it names one."""
    zone = _zone(text_of(target, "TimezoneOffsetFromUTC"))
    if zone is not None and moment.tzinfo is not None:
        moment = moment.astimezone(zone)
    day, time = f"{moment:%Y%m%d}", f"{moment:%H%M%S.%f}"
    target.InstanceCreationDate, target.InstanceCreationTime = day, time
    target.ContentDate, target.ContentTime = day, time
    target.SeriesDate, target.SeriesTime = day, time


def _zone(offset: str) -> timezone | None:
    """Return the time zone of an offset such as +0100 (PS3.3 C.12.1.1.1)."""
    try:
        found = datetime.strptime(offset, "%z").tzinfo
    except ValueError:
        return None
    return found if isinstance(found, timezone) else None
