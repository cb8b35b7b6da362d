"""Which column a DICOM series fills: by its modality, and for MR by words and times of its header.

Words come first, since a physicist names a sequence by what it shows: the series' own description,
then the protocol's name. Where they are silent, echo, repetition and inversion time tell the usual
contrasts. What no rule tells is `mr`.
"""

from __future__ import annotations

import re

from medgen.discovery.headers import Head, TreeSeries
from medgen.discovery.objects import may_be_volume, object_name

LOCALIZER, SYNTHETIC, MAP, PROJECTION = (
    "localizer",
    "synthetic series",
    "derived map",
    "projection",
)

_MODALITIES = "CT MR PT NM US XA RF DX CR MG OT SC SEG REG RTDOSE RTIMAGE RTSTRUCT PR KO SR OPT"
MODALITIES = frozenset(_MODALITIES.split())
"""The modalities that may be named in a message; another word may be anything."""

_BEFORE = r"(?<![a-z])(?:ax|axial|sag|cor|tra|[23]d|fl|ir|se|fse|tse|gre)*"
_T1 = re.compile(
    _BEFORE + r"t1(?!\d)|(?<![a-z0-9])t[-_ ]1(?!\d)|mp[-_ ]?2?rage|spgr|(?<![a-z])bravo"
)
_T2 = re.compile(_BEFORE + r"t2(?!\d)|(?<![a-z0-9])t[-_ ]2(?!\d)")
_T2_STAR = re.compile(r"t[-_ ]?2[-_ ]?(?:\*|star)")
_CONTRAST = re.compile(
    r"\+\s?(?:c|gd|gad|km)(?![a-z])|(?<![a-z])(?:c\+|(?:ce|gd|gad|km|post|contrast|gadolinium)(?![a-z]))"
)
_PLAIN = re.compile(r"(?<![a-z])(?:pre|without|w/o|no|non|native|nativ|ohne)(?![a-z])")
_NAC = re.compile(
    r"(?<![a-z])nac(?![a-z])|un-?corrected|(?<![a-z])non?[-_ ]?(?:ac|attenuation)(?![a-z])"
)
_CONE_BEAM = re.compile(
    r"cone[-_ ]?beam|cbct|(?<![a-z])(?:obi|xvi|halcyon|newtom|promax|i-?cat|accuitomo)(?![a-z])"
    r"|on-?board imager|orthophos"
)
_SCOUT = re.compile(
    r"locali[sz]er|scout|(?<![a-z])(?:loc|survey|surview|topogram|scanogram|calibration|cal"
    r"|refscan|ref scan|plan ?scan|coil ?survey)(?![a-z])|(?:3|three)[-_ ]?(?:plane|pl)(?![a-z])"
)
_MAPS = {
    *("FA", "COLFA", "TENSOR", "EXP", "EADC", "CBF", "CBV", "RELCBF", "RELCBV", "MTT", "TTP"),
    *("T1 MAP", "T2 MAP", "T2_STAR MAP", "R2 MAP"),
}
_PROJECTIONS = {"MIP", "MINIP", "MPR_MIP", "PROJECTION IMAGE", "MAX_IP", "MIN_IP"}

_OTHER_WORDS = (
    ("adc", re.compile(r"(?<![a-z])adc(?![a-z])|apparent")),
    ("dwi", re.compile(r"(?<![a-z])(?:dwi|dti|diff\w*|trace\w*|b\s?=?\s?\d{3,4})(?![a-z])")),
    ("bold", re.compile(r"(?<![a-z])(?:bold|fmri|rsfmri|resting)(?![a-z])")),
    ("perfusion", re.compile(r"(?<![a-z])(?:perf\w*|asl|pcasl|dsc|dce)(?![a-z])")),
    ("swi", re.compile(r"(?<![a-z])(?:swi|swan|susceptibility)(?![a-z])")),
    ("tof", re.compile(r"(?<![a-z])(?:tof|mra)(?![a-z])|time[-_ ]of[-_ ]flight")),
    ("stir", re.compile(r"(?<![a-z])stir(?![a-z])")),
)
_FLAIR = re.compile(r"flair|dark[-_ ]?fluid")
_PD = re.compile(r"(?<![a-z])pdw?(?![a-z])|proton[-_ ]?dens")


def left_out(series: TreeSeries) -> str | None:
    """Return what a series is that is not proposed as a volume, or None where it may be one."""
    head = series.head
    if not may_be_volume(head.sop_class, head.modality):
        name = object_name(head.sop_class)
        return "other image" if name == "other object" else name
    if head.synthetic:
        return SYNTHETIC
    if series.localizers == len(series.files) or _SCOUT.search(head.description.casefold()):
        return LOCALIZER
    if _PROJECTIONS & set(head.image_type):
        return PROJECTION
    return MAP if _MAPS & set(head.image_type[2:]) else None


def column_of(head: Head) -> str:
    """Return the column that a series of CT, MR or PET fills."""
    if head.modality == "CT":
        return "cbct" if _is_cone_beam(head) else "ct"
    if head.modality == "PT":
        return _pet(head)
    return _mr(head)


def _is_cone_beam(head: Head) -> bool:
    text = " ".join((head.model, head.description, *head.image_type)).casefold()
    return _CONE_BEAM.search(text) is not None


def _pet(head: Head) -> str:
    """Return by attenuation correction; a description that says NAC outweighs the list of codes.

    Scanners are known to list ATTN for the uncorrected images too.
    """
    if _NAC.search(head.description.casefold()):
        return "pet_nac"
    if not head.corrections:
        return "pet"
    return "pet_ac" if "ATTN" in head.corrections else "pet_nac"


def _mr(head: Head) -> str:
    if "ADC" in head.image_type:
        return "adc"
    for text in (head.description.casefold(), head.protocol.casefold()):
        column = _by_words(text)
        if column == "t1":
            return "t1ce" if _enhanced(text, head) else "t1"
        if column:
            return column
    column = "dwi" if head.b_value else _by_times(head)
    return "t1ce" if column == "t1" and head.contrast_agent else column


def _by_words(text: str) -> str:
    for column, words in _OTHER_WORDS:
        if words.search(text):
            return column
    if _FLAIR.search(text):
        return "t1" if _T1.search(text) else "flair"  # T1 FLAIR shows a T1's contrast
    if _T2_STAR.search(text):
        return "t2star"
    for column, words in (("t1", _T1), ("pd", _PD), ("t2", _T2)):
        if words.search(text):
            return column
    return ""


def _enhanced(text: str, head: Head) -> bool:
    if _PLAIN.search(text):
        return False
    return head.contrast_agent or _CONTRAST.search(text) is not None


def _by_times(head: Head) -> str:
    """Return the contrast that the times of a spin echo or a prepared gradient echo give."""
    echo, repetition = head.echo_time_ms, head.repetition_time_ms
    if echo is None or repetition is None or "EP" in head.scanning_sequence:
        return "mr"
    inversion = head.inversion_time_ms or 0.0
    if inversion >= 1500:
        return "flair" if echo >= 60 else "mr"
    if echo < 30 and (repetition < 1200 or 500 <= inversion <= 1300):
        return "t1"
    if inversion or repetition < 1800:
        return "mr"
    if echo >= 60:
        return "t2"
    return "pd" if echo < 40 else "mr"
