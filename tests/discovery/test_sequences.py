"""Series descriptions as they stand in the archives of several makers, and the column of each."""

from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.data.modality import modality_of
from medgen.discovery.columns import kind_of, slug
from medgen.discovery.headers import Head, TreeSeries
from medgen.discovery.sequences import column_of, left_out

MR = Head(
    **dict.fromkeys(("patient_id", "issuer", "birth_date", "sex", "study"), "x"),
    **dict.fromkeys(("study_moment", "series", "frame_of_reference", "description"), ""),
    **dict.fromkeys(("protocol", "model"), ""),
    **dict.fromkeys(("image_type", "corrections", "scanning_sequence"), ()),
    **dict.fromkeys(("echo_time_ms", "repetition_time_ms", "inversion_time_ms")),
    number=1,
    modality="MR",
    sop_class="1.2.840.10008.5.1.4.1.1.4",
    contrast_agent=False,
    synthetic=False,
    b_value=False,
    voxel_mm3=None,
)
CT = replace(MR, modality="CT", sop_class="1.2.840.10008.5.1.4.1.1.2")
PET = replace(MR, modality="PT", sop_class="1.2.840.10008.5.1.4.1.1.128")


def times(echo: float, repetition: float, inversion: float | None = None) -> Head:
    return replace(
        MR, echo_time_ms=echo, repetition_time_ms=repetition, inversion_time_ms=inversion
    )


@pytest.mark.parametrize(
    ("description", "column"),
    [
        ("SAG T-1", "t1"),
        ("Ax T1 SE", "t1"),
        ("t1_mprage_sag_p2_iso", "t1"),
        ("MPRAGE", "t1"),
        ("3D T1 TFE", "t1"),
        ("Sag 3D BRAVO", "t1"),
        ("AxT1", "t1"),
        ("t1_fl2d_tra", "t1"),
        ("T1 FLAIR SAG", "t1"),
        ("Ax T1 POST GD", "t1ce"),
        ("t1_mprage_tra_KM", "t1ce"),
        ("AX T1+C", "t1ce"),
        ("T1 w/o contrast", "t1"),
        ("T1 pre contrast", "t1"),
        ("t2_tse_tra", "t2"),
        ("AX T2 FSE", "t2"),
        ("T2W_TSE", "t2"),
        ("t2_space_dark-fluid_sag", "flair"),
        ("FLAIR", "flair"),
        ("AX T2 FLAIR", "flair"),
        ("Axial T2*", "t2star"),
        ("t2star_fl2d", "t2star"),
        ("PD TSE", "pd"),
        ("ep2d_diff_3scan_trace_p2", "dwi"),
        ("DTI 64 dir", "dwi"),
        ("ADC (10^-6 mm/s)", "adc"),
        ("SWI_Images", "swi"),
        ("TOF 3D multi-slab", "tof"),
        ("COR STIR", "stir"),
        ("rs fMRI", "bold"),
        ("Perfusion_DSC", "perfusion"),
        ("Post 1", "mr"),
        ("ROUTINE BRAIN", "mr"),
        ("T10 vertebra", "mr"),
        ("", "mr"),
    ],
)
def test_mr_by_words(description: str, column: str) -> None:
    assert column_of(replace(MR, description=description)) == column


def test_the_description_comes_before_the_protocol_and_words_before_times() -> None:
    both = replace(MR, description="AX T2", protocol="BRAIN T1 FLAIR")
    assert column_of(both) == "t2"
    assert column_of(replace(both, description="SERIES 4")) == "t1"
    assert column_of(replace(times(9, 450), description="FLAIR")) == "flair"
    assert column_of(replace(MR, description="T1", contrast_agent=True)) == "t1ce"
    assert column_of(replace(MR, description="T1 pre", contrast_agent=True)) == "t1"
    assert column_of(replace(MR, b_value=True)) == "dwi"
    assert column_of(replace(MR, description="diff", image_type=("DERIVED", "ADC"))) == "adc"


@pytest.mark.parametrize(
    ("head", "column"),
    [
        (times(9, 450), "t1"),
        (times(4.1, 2530, 1100), "t1"),
        (times(100, 4000), "t2"),
        (times(120, 9000, 2500), "flair"),
        (times(15, 3000), "pd"),
        (times(50, 1000), "mr"),
        (times(30, 4000, 150), "mr"),
        (replace(times(80, 4000), scanning_sequence=("EP",)), "mr"),
        (replace(times(9, 450), contrast_agent=True), "t1ce"),
    ],
)
def test_mr_by_times_where_words_are_silent(head: Head, column: str) -> None:
    assert column_of(head) == column


@pytest.mark.parametrize(
    ("head", "column"),
    [
        (CT, "ct"),
        (replace(CT, model="TrueBeam OBI"), "cbct"),
        (replace(CT, description="kV CBCT head"), "cbct"),
        (replace(CT, image_type=("ORIGINAL", "PRIMARY", "CBCT")), "cbct"),
        (replace(CT, description="mobile thorax"), "ct"),
        (PET, "pet"),
        (replace(PET, corrections=("DECY", "ATTN", "SCAT")), "pet_ac"),
        (replace(PET, corrections=("DECY", "SCAT")), "pet_nac"),
        (replace(PET, description="PET NAC", corrections=("DECY", "ATTN")), "pet_nac"),
        (replace(PET, description="WB uncorrected", corrections=("ATTN",)), "pet_nac"),
    ],
)
def test_ct_and_pet(head: Head, column: str) -> None:
    assert column_of(head) == column


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (MR, None),
        (replace(MR, description="localizer"), "localizer"),
        (replace(MR, description="3-plane loc"), "localizer"),
        (replace(MR, description="AAHead_Scout"), "localizer"),
        (replace(CT, description="Topogram 0.6"), "localizer"),
        (replace(MR, description="Ax T2 local shim"), None),
        (replace(CT, synthetic=True), "synthetic series"),
        (replace(CT, image_type=("DERIVED", "SECONDARY", "MIP")), "projection"),
        (replace(CT, image_type=("DERIVED", "SECONDARY", "REFORMATTED")), None),
        (replace(MR, image_type=("DERIVED", "PRIMARY", "DIFFUSION", "FA")), "derived map"),
        (replace(CT, sop_class="1.2.840.10008.5.1.4.1.1.7"), "secondary capture"),
        (replace(CT, modality="US", sop_class="1.2.840.10008.5.1.4.1.1.6.1"), "other image"),
    ],
)
def test_what_is_left_out(head: Head, kind: str | None) -> None:
    assert left_out(TreeSeries(head, [PurePosixPath("a/b.dcm")])) == kind


def test_a_series_of_nothing_but_localizers_is_one() -> None:
    files = [PurePosixPath("a/1.dcm"), PurePosixPath("a/2.dcm")]
    assert left_out(TreeSeries(CT, files, localizers=2)) == "localizer"
    assert left_out(TreeSeries(CT, files, localizers=1)) is None


@given(text=st.text(max_size=40), modality=st.sampled_from(("MR", "CT", "PT")))
def test_any_words_give_an_image_column_of_the_modality(text: str, modality: str) -> None:
    column = column_of(replace(MR, modality=modality, description=text, protocol=text))
    assert slug(column) == column
    assert kind_of(column) == "image"
    expected = {"MR": {"mr"}, "CT": {"ct", "cbct"}, "PT": {"pet"}}[modality]
    assert modality_of(column) in expected
