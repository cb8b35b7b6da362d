from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from derived_sources import DERIVATION, source_series
from dicom_judges import by_dcm2niix
from pydicom.dataset import Dataset

from medgen.dicom.provenance import (
    MANUFACTURER,
    NOTICE,
    RESEARCH_ONLY,
    STRAIGHTENED,
    declare,
    described,
    text,
)

TAKEN = ("BR", "CA", "GE", "HI", "HY", "LF", "ME", "MR", "PH", "SI", "TO", "UI")


def declared(series_number: Any = 3, zone: str = "", **changes: Any) -> Dataset:
    source = source_series("MR")
    for frame in source.frames:
        frame.header.SeriesNumber = series_number
    target = Dataset()
    if zone:
        target.TimezoneOffsetFromUTC = zone
    derivation = replace(DERIVATION, **changes)
    declare(target, source, derivation, title="Synthetic CT", offset=1000)
    return target


def test_the_device_changes_with_the_weights_and_with_nothing_else() -> None:
    def device(**changes: Any) -> str:
        return str(declared(**changes).ContributingEquipmentSequence[0].DeviceUID)

    assert device(weights_digest="ef" * 32) != device()
    assert device(settings_digest="ef" * 32, model="other", version="9") == device()
    assert device(moment=datetime(2030, 1, 1, tzinfo=UTC)) == device()


def test_everything_that_made_it_is_named() -> None:
    target = declared()
    for words in (
        target.DerivationDescription,
        target.ContributingEquipmentSequence[0].ContributionDescription,
    ):
        for part in (
            *(DERIVATION.model, DERIVATION.version, DERIVATION.description, NOTICE),
            *(DERIVATION.weights_digest, DERIVATION.settings_digest),
        ):
            assert part in words
    assert target.ImageComments == NOTICE


@pytest.mark.parametrize(
    ("number", "expected"),
    [(3, 1003), (None, 1000), (-7, 1000), (2**31 - 1001, 2**31 - 1), (2**31 - 1, 1000)],
)
def test_the_series_number_is_the_sources_and_a_thousand(number: Any, expected: int) -> None:
    assert declared(number).SeriesNumber == expected


@pytest.mark.parametrize("length", [0, 5, 200])
def test_the_rule_is_never_cut_off(length: int) -> None:
    words = described("Synthetic CT", "m" * length)
    assert len(words) <= 64
    assert words.startswith("Synthetic CT")
    assert words.endswith(RESEARCH_ONLY)


def test_long_and_odd_words_fit() -> None:
    target = declared(description="Größe \\ 大\n" * 500, model="é\\" * 100, version="v" * 200)
    assert len(target.DerivationDescription) <= 1024
    assert target.DerivationDescription.endswith(NOTICE)
    assert target.DerivationDescription.isascii()
    assert "\\" not in target.DerivationDescription
    assert text("a\\b\x1b\n大") == "a?b???"


def test_the_maker_is_nobody_elses() -> None:
    assert not MANUFACTURER.upper().startswith(TAKEN)


def test_dates_go_by_the_clock_of_the_source() -> None:
    target = declared(zone="+0530")
    assert (target.ContentDate, target.ContentTime) == ("20260304", "103607.891000")
    assert declared().ContentTime == "050607.891000"
    assert declared(zone="odd").ContentTime == "050607.891000"
    assert declared(zone="-0600").ContentDate == "20260303"
    naive = DERIVATION.moment.replace(tzinfo=None)
    assert declared(zone="-0600", moment=naive).ContentTime == "050607.891000"
    there = DERIVATION.moment.astimezone(timezone(timedelta(hours=2)))
    assert declared(moment=there).SeriesTime == "070607.891000"


def test_dcm2niix_takes_it_for_no_maker(tmp_path: Any) -> None:
    import json

    from derived_sources import answer_values

    from medgen.dicom.images import write_image_series

    source = source_series("MR")
    write_image_series(
        tmp_path / "answer",
        answer_values(source.shape, "HU"),
        source.affine,
        unit="HU",
        source=source,
        derivation=DERIVATION,
    )
    by_dcm2niix(tmp_path / "answer", tmp_path / "nifti")
    sidecar = json.loads((tmp_path / "nifti" / "volume.json").read_text())
    assert "Manufacturer" not in sidecar
    assert sidecar["Modality"] == "CT"


def test_the_contribution_is_dated_at_one_moment_whatever_the_clock_of_the_source() -> None:
    for zone in ("", "+0900"):
        item = declared(zone=zone).ContributingEquipmentSequence[0]
        assert item.ContributionDateTime == "20260304050607.891000+0000"


def test_resampled_slices_are_told_of_even_if_there_is_no_room() -> None:
    source = replace(source_series("MR"), straightened=True)
    for words in ("", "computed", "x" * 2000):
        target = Dataset()
        derivation = replace(DERIVATION, description=words)
        declare(target, source, derivation, title="Synthetic CT", offset=1000)
        said = target.DerivationDescription
        assert STRAIGHTENED in said
        assert said.endswith(NOTICE)
        assert len(said) <= 1024
        assert target.ContributingEquipmentSequence[0].ContributionDescription == said
    assert STRAIGHTENED not in declared().DerivationDescription
