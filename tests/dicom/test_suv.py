from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_corpus import CANARIES, CT, MR, PT, code, make_slices
from dicom_enhanced import enhance
from dicom_frames import frame_of, frames_in
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence

from medgen.dicom.frames import Frame, Instance
from medgen.dicom.multiframe import frames_of
from medgen.dicom.pixels import read_pixels
from medgen.dicom.units import suv_factors
from medgen.dicom.values import quiet
from medgen.limits import Limits

_SHAPE = (4, 3, 3)
# 70 kg, 370 MBq, half-life 6586.2 s, given at 09:17:00, scanned at 10:17:00: 3600 s later.
_FACTOR = 70 * 1000 / (370e6 * 2 ** (-3600 / 6586.2))

Change = Callable[[Dataset], None]


def headers(*changes: Change) -> list[Dataset]:
    slices, _ = make_slices(PT, shape=_SHAPE)
    with quiet():  # some values are none on purpose
        for one in slices:
            for change in changes:
                change(one)
    return slices


def setting(**attributes: Any) -> Change:
    def change(header: Dataset) -> None:
        for keyword, value in attributes.items():
            if value is None:
                delattr(header, keyword)
            else:
                setattr(header, keyword, value)

    return change


def tracer(**attributes: Any) -> Change:
    return lambda header: setting(**attributes)(header.RadiopharmaceuticalInformationSequence[0])


def ge_scan_time(text: str) -> Change:
    def change(header: Dataset) -> None:
        header.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", text)

    return change


def philips(units: str = "CNTS", **factors: Any) -> Change:
    def change(header: Dataset) -> None:
        header.Units = units
        block = header.private_block(0x7053, "Philips PET Private Group", create=True)
        for name, value in factors.items():
            block.add_new({"suv": 0x00, "activity": 0x09}[name], "DS", value)

    return change


def factor(*changes: Change) -> float:
    factors, problems = suv_factors([frame_of(header) for header in headers(*changes)])
    assert not problems, [str(problem) for problem in problems]
    assert factors.shape == (3,)
    assert len(set(factors)) == 1
    return float(factors[0])


def reasons(*changes: Change) -> list[str]:
    return reasons_of([frame_of(header) for header in headers(*changes)])


def reasons_of(frames: list[Frame]) -> list[str]:
    factors, problems = suv_factors(frames)
    assert (factors == 1).all()
    assert {problem.code for problem in problems} == {"E_SUV"}
    for problem in problems:
        assert not any(word in str(problem) for word in (*CANARIES, "2001", "101700"))
    return [problem.message.removeprefix("no SUV can be computed: ") for problem in problems]


def test_decay_from_the_administration_to_the_series_time() -> None:
    assert factor() == pytest.approx(_FACTOR, rel=1e-12)


def test_administration_needs_no_decay_and_no_times() -> None:
    change = setting(DecayCorrection="ADMIN", SeriesTime=None, AcquisitionTime=None)
    assert factor(change) == pytest.approx(70e3 / 370e6, rel=1e-12)


@pytest.mark.parametrize("given", ["20010203091700", "20010203091700.25", "20010203111700+0200"])
def test_the_administration_with_its_date(given: str) -> None:
    found = factor(
        tracer(RadiopharmaceuticalStartDateTime=given), setting(TimezoneOffsetFromUTC="+0000")
    )
    assert found == pytest.approx(_FACTOR, rel=1e-4)


def test_the_day_before_where_midnight_lies_between() -> None:
    found = factor(
        setting(SeriesTime="003000", AcquisitionTime="003000"),
        tracer(RadiopharmaceuticalStartTime="233000"),
    )
    assert found == pytest.approx(_FACTOR, rel=1e-12)


def test_days_apart_with_dates() -> None:
    found = factor(
        tracer(
            RadiopharmaceuticalStartDateTime="20010201101700",
            RadiopharmaceuticalStartTime=None,
            RadionuclideHalfLife="282276",
            RadionuclideCodeSequence=DicomSequence([code("C-168A4", "SRT", "^89^Zirconium")]),
        )
    )
    assert found == pytest.approx(70e3 / (370e6 * 2 ** (-2 * 86400 / 282276)), rel=1e-12)


def test_the_day_must_be_stated_where_a_tracer_lasts_for_days() -> None:
    lasting = tracer(
        RadionuclideHalfLife="282276",
        RadionuclideCodeSequence=DicomSequence([code("C-168A4", "SRT", "^89^Zirconium")]),
    )
    (reason,) = reasons(lasting)
    assert "RadiopharmaceuticalStartDateTime (0018,1078) missing" in reason
    stated = tracer(RadiopharmaceuticalStartDateTime="20010203091700")
    assert factor(lasting, stated) == pytest.approx(
        70e3 / (370e6 * 2 ** (-3600 / 282276)), rel=1e-12
    )
    unusable = tracer(RadiopharmaceuticalStartDateTime="20010203091700+0100")  # local to where?
    assert len(reasons(lasting, unusable)) == 1


def test_a_later_acquisition_does_not_move_the_reference() -> None:
    """Beds are acquired one after the other; all are corrected to the start of the scan."""
    slices = headers()
    for index, one in enumerate(slices):
        one.AcquisitionTime = f"10{17 + 3 * index}00"
    factors, problems = suv_factors([frame_of(one) for one in slices])
    assert not problems
    np.testing.assert_allclose(factors, _FACTOR, rtol=1e-12)


def test_a_series_made_later_goes_by_ges_scan_time() -> None:
    later = setting(SeriesTime="160000")
    assert factor(later, ge_scan_time("20010203101700.00")) == pytest.approx(_FACTOR, rel=1e-12)


@pytest.mark.parametrize("change", [setting(), ge_scan_time("20010203120000"), ge_scan_time("x")])
def test_a_series_made_later_is_refused_where_the_scan_time_is_unknown(change: Change) -> None:
    (reason,) = reasons(setting(SeriesTime="160000"), change)
    assert "after its first acquisition" in reason


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ([setting(PatientWeight=None)], "PatientWeight (0010,1030) missing"),
        ([setting(PatientWeight="")], "PatientWeight (0010,1030) missing"),
        ([setting(PatientWeight="0")], "PatientWeight (0010,1030) impossible"),
        ([setting(PatientWeight="70000")], "PatientWeight (0010,1030) impossible"),
        ([setting(DecayCorrection="NONE")], "DecayCorrection (0054,1102) is NONE"),
        ([setting(DecayCorrection=None)], "DecayCorrection (0054,1102) is missing"),
        ([setting(CorrectedImage=["DECY", "SCAT"])], "attenuation (ATTN)"),
        ([setting(CorrectedImage=["ATTN", "SCAT"])], "decay (DECY)"),
        ([setting(SeriesTime=None)], "SeriesTime (0008,0031) missing"),
        ([setting(SeriesDate="")], "SeriesDate (0008,0021)"),
        ([setting(SeriesTime="256100")], "SeriesTime (0008,0031) missing or unreadable"),
        ([setting(AcquisitionTime=None)], "AcquisitionTime (0008,0032) missing"),
        ([setting(RadiopharmaceuticalInformationSequence=None)], "(0054,0016) missing"),
        ([tracer(RadionuclideTotalDose=None)], "RadionuclideTotalDose (0018,1074) missing"),
        ([tracer(RadionuclideTotalDose="370")], "RadionuclideTotalDose (0018,1074) impossible"),
        ([tracer(RadionuclideHalfLife=None)], "RadionuclideHalfLife (0018,1075) missing"),
        ([tracer(RadionuclideHalfLife="109.77")], "contradicts its radionuclide's 6586.2 s"),
        ([tracer(RadiopharmaceuticalStartTime=None)], "RadiopharmaceuticalStartTime (0018,1072)"),
        ([tracer(RadiopharmaceuticalStartTime="noon")], "missing or unreadable"),
        ([tracer(RadiopharmaceuticalStartTime="101801")], "is impossible"),
        ([tracer(RadiopharmaceuticalStartDateTime="20010203081700")], "contradict each other"),
        ([tracer(RadiopharmaceuticalStartDateTime="20010204091700")], "is impossible"),
        ([tracer(RadiopharmaceuticalStartDateTime="20010103091700")], "is impossible"),
        ([setting(Units="PROPCNTS")], "not all activity concentrations"),
    ],
)
def test_whatever_is_missing_or_impossible_is_named(changes: list[Change], named: str) -> None:
    (reason,) = reasons(*changes)
    assert named in reason


def test_a_time_with_an_offset_needs_the_headers_offset() -> None:
    given = tracer(
        RadiopharmaceuticalStartDateTime="20010203091700+0200", RadiopharmaceuticalStartTime=None
    )
    (reason,) = reasons(given)
    assert "missing or unreadable" in reason
    assert factor(given, setting(TimezoneOffsetFromUTC="+0200")) == pytest.approx(_FACTOR)


def test_all_problems_are_collected() -> None:
    found = reasons(
        setting(PatientWeight=None, CorrectedImage="SCAT", SeriesTime=None),
        tracer(RadionuclideTotalDose="0", RadionuclideHalfLife=None),
    )
    assert len(found) == 6


def test_images_must_agree() -> None:
    slices = headers()
    slices[1].PatientWeight = "71"
    slices[2].RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = "371000000"
    found = reasons_of([frame_of(one) for one in slices])
    assert len(found) == 2
    assert all("not the same in all images" in reason for reason in found)


def test_two_tracers_are_one_too_many() -> None:
    slices = headers()
    for one in slices:
        sequence = one.RadiopharmaceuticalInformationSequence
        sequence.append(sequence[0])
    (reason,) = reasons_of([frame_of(one) for one in slices])
    assert "of 2 tracers" in reason


def test_other_modalities_have_no_suv() -> None:
    for modality in (CT, MR):
        slices, _ = make_slices(modality, shape=_SHAPE)
        (reason,) = reasons_of([frame_of(one) for one in slices])
        assert "not all of PET" in reason


def test_values_that_are_suv_already_have_the_factor_one() -> None:
    assert factor(setting(Units="GML", PatientWeight=None)) == 1


def test_counts_of_philips() -> None:
    both = factor(philips(suv="0.0002", activity="0.5"))
    assert both == pytest.approx(0.0002 / 0.5, rel=1e-12)
    assert factor(philips(suv="0.0002")) == 1
    assert factor(philips(activity="0.5")) == pytest.approx(_FACTOR, rel=1e-12)


def test_counts_without_a_factor_have_no_suv() -> None:
    (reason,) = reasons(setting(Units="CNTS"))
    assert "not all activity concentrations" in reason


def enhanced(*changes: Change) -> list[Frame]:
    """Return the frames of an enhanced PET with a dose in MBq, as PS3.3 C.8.22.4 has it."""
    header = enhance(make_slices(PT, shape=_SHAPE)[0])
    header.file_meta = FileMetaDataset()
    header.AttenuationCorrected = "YES"
    tracer(
        RadionuclideTotalDose="370",
        RadiopharmaceuticalStartDateTime="20010203091700",
        RadiopharmaceuticalStartTime=None,
    )(header)
    for change in changes:
        change(header)
    return frames_of(Instance(Path("none.dcm"), header))[0]


def test_enhanced_pet_has_its_dose_in_megabecquerel() -> None:
    factors, problems = suv_factors(enhanced())
    assert not problems
    np.testing.assert_allclose(factors, _FACTOR, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (setting(DecayCorrected="NO"), "(DECY)"),
        (setting(AttenuationCorrected=None), "(ATTN)"),
        (setting(DecayCorrectionDateTime=None), "DecayCorrectionDateTime (0018,9701) missing"),
        (tracer(RadionuclideTotalDose="370000000"), "impossible"),
    ],
)
def test_enhanced_pet_is_refused_likewise(change: Change, named: str) -> None:
    (reason,) = reasons_of(enhanced(change))
    assert named in reason


@pytest.mark.real
def test_a_real_series_by_hand(real_data: Path) -> None:
    """The arithmetic of the GE PET of 135 slices, from its header values.

    PatientWeight 91 kg, RadionuclideTotalDose 588802304 Bq, RadionuclideHalfLife 6588 s,
    RadiopharmaceuticalStartTime 07:21:00, SeriesTime 09:59:47 on the day of AcquisitionDate and
    equal to every AcquisitionTime, DecayCorrection START, Units BQML:

        elapsed  = 9 h 59 min 47 s - 7 h 21 min 0 s = 2 h 38 min 47 s = 9527 s
        decayed  = 588802304 Bq * 2 ** (-9527 / 6588) = 588802304 * 2 ** -1.446114
                 = 588802304 * 0.3670086 = 216095521 Bq
        factor   = 91000 g / 216095521 Bq = 4.2111007e-4 g/ml per Bq/ml

    The hottest voxel, 121329.98 Bq/ml, is a SUV of 51.093.
    """
    frames = frames_in(real_data / "dicom" / "pet_ct_patient" / "pet_ac")
    assert len(frames) == 135
    factors, problems = suv_factors(frames)
    assert not problems
    decayed = 588802304 * 2 ** (-9527 / 6588)
    assert decayed == pytest.approx(216095521, rel=1e-8)
    np.testing.assert_allclose(factors, 91000 / decayed, rtol=1e-12)
    np.testing.assert_allclose(factors, 4.2111007e-4, rtol=1e-8)
    pixels = read_pixels(frames, limits=Limits())
    suv = pixels.data * factors
    assert pixels.data.max() == pytest.approx(121329.98, rel=1e-6)
    assert suv.max() == pytest.approx(51.093, abs=1e-3)
