"""To which moment a PET series was corrected for decay, and when its tracer was given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydicom.dataset import Dataset
from pydicom.uid import EnhancedPETImageStorage

from medgen.dicom.moments import moment_of, parsed_moment, time_of
from medgen.dicom.values import quiet, text_of, texts_of

_SLACK = timedelta(seconds=1)  # times are often written without fractions
_DAY = timedelta(days=1)
_GE = (0x0009, "GEMS_PETD_01", 0x0D)


class Unknown(Exception):
    """A moment cannot be known; the message says why, without a value of the header."""


def is_enhanced(header: Dataset) -> bool:
    """Tell whether a header is of Enhanced PET, which has its own attributes and units."""
    return text_of(header, "SOPClassUID") == str(EnhancedPETImageStorage)


def correction_reasons(headers: Sequence[Dataset]) -> list[str]:
    """Return why values are not those that a SUV is made of: attenuation and decay corrected.

    CorrectedImage (0028,0051) of PET Image Storage must name ATTN and DECY (PS3.3 C.8.9.1);
    AttenuationCorrected (0018,9759) and DecayCorrected (0018,9758) of Enhanced PET must be YES
    (C.8.22.6).
    """
    reasons: dict[str, None] = {}
    for header in headers:
        done = texts_of(header, "CorrectedImage")
        if is_enhanced(header):
            flags = {"ATTN": "AttenuationCorrected", "DECY": "DecayCorrected"}
            done = tuple(name for name, flag in flags.items() if text_of(header, flag) == "YES")
        if "ATTN" not in done:
            reasons["its images are not marked as corrected for attenuation (ATTN)"] = None
        if "DECY" not in done:
            reasons["its images are not marked as corrected for decay (DECY)"] = None
    return list(reasons)


def reference_moment(headers: Sequence[Dataset]) -> datetime | None:
    """Return the moment to which activities were corrected; None if it is the administration.

    DecayCorrection (0054,1102; PS3.3 C.8.9.1.1.5) ADMIN is the administration. START is the start
    of the acquisition: the series' date and time, unless an image was acquired before it, which
    happens where the series was made later from another one. Then GE's private scan time
    (0009,xx0D) is it, and without that it cannot be known. Enhanced PET states the moment itself
    (DecayCorrectionDateTime (0018,9701), C.8.22.6). NONE is refused.

    This is the vendor-neutral definition of QIBA's FDG-PET/CT profile without its last resort,
    which computes the start from FrameReferenceTime: scanners disagree on whether that is the
    start or the middle of a frame, which is 1 to 2 % of the SUV of F-18. Raises Unknown.
    """
    first = headers[0]
    if is_enhanced(first):
        return _same(
            [parsed_moment(text_of(one, "DecayCorrectionDateTime"), one) for one in headers],
            "DecayCorrectionDateTime (0018,9701)",
        )
    kinds = {text_of(header, "DecayCorrection") for header in headers}
    if kinds == {"ADMIN"}:
        return None
    if kinds == {"NONE"}:
        raise Unknown("its DecayCorrection (0054,1102) is NONE")
    if kinds != {"START"}:
        raise Unknown("its DecayCorrection (0054,1102) is missing, unknown or not the same in all")
    series = _same(
        [moment_of(one, date="SeriesDate", time="SeriesTime") for one in headers],
        "SeriesDate (0008,0021) or SeriesTime (0008,0031)",
    )
    acquired = [_acquisition(header) for header in headers]
    known = [moment for moment in acquired if moment is not None]
    if len(known) != len(acquired):
        raise Unknown("AcquisitionDate (0008,0022) or AcquisitionTime (0008,0032) missing")
    if series <= min(known) + _SLACK:
        return series
    return _ge_scan_time(headers, earliest=min(known))


def administration_moment(
    item: Dataset, header: Dataset, reference: datetime | None
) -> datetime | None:
    """Return when the tracer was given; None where that is the reference itself.

    RadiopharmaceuticalStartDateTime (0018,1078) says so with the date. RadiopharmaceuticalStartTime
    (0018,1072) is a time of day: that of the day of the reference, or of the day before where the
    reference would lie before it. Where both are there they must agree. Raises Unknown.
    """
    if reference is None:
        return None
    stated = text_of(item, "RadiopharmaceuticalStartDateTime")
    moment = parsed_moment(stated, header) if stated else None
    time = time_of(item, "RadiopharmaceuticalStartTime")
    if moment is not None:
        if time is not None and not _same_time(moment, time):
            raise Unknown("RadiopharmaceuticalStartTime and -StartDateTime contradict each other")
        return moment
    if time is None:
        raise Unknown(
            "RadiopharmaceuticalStartDateTime (0018,1078) and RadiopharmaceuticalStartTime "
            "(0018,1072) missing or unreadable"
        )
    midnight = reference.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + time if midnight + time <= reference else midnight + time - _DAY


def _acquisition(header: Dataset) -> datetime | None:
    return moment_of(
        header, date="AcquisitionDate", time="AcquisitionTime", both="AcquisitionDateTime"
    )


def _ge_scan_time(headers: Sequence[Dataset], *, earliest: datetime) -> datetime:
    """Return GE's private scan time, which must not lie after the first acquisition."""
    group, creator, element = _GE
    moments = []
    for header in headers:
        with quiet():
            try:
                value = header.private_block(group, creator)[element].value
            except Exception:  # no such block or element, or a damaged one
                value = ""
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
        moments.append(parsed_moment(text.strip("\x00 "), header))
    if not all(moments):
        raise Unknown(
            "its series time lies after its first acquisition, so that the start of the scan, to "
            "which activities were corrected, is not stated"
        )
    moment = _same(moments, "GE's private scan time (0009,xx0D)")
    if moment > earliest + _SLACK:
        raise Unknown("its series time and GE's private scan time lie after its first acquisition")
    return moment


def _same(moments: Sequence[datetime | None], name: str) -> datetime:
    distinct = set(moments)
    if None in distinct:
        raise Unknown(f"{name} missing or unreadable")
    if len(distinct) > 1:
        raise Unknown(f"{name} not the same in all images")
    return next(moment for moment in distinct if moment is not None)


def _same_time(moment: datetime, time: timedelta) -> bool:
    """Tell whether a moment is at a time of day, to the second and across midnight."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    apart = abs((moment - midnight) - time)
    return min(apart, _DAY - apart) <= _SLACK
