import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medgen.data.modality import modality_of
from medgen.data.rows import RESERVED
from medgen.discovery.columns import (
    kind_of,
    known_column,
    ordered,
    plain,
    slug,
    split_stem,
)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("T1w", "t1"),
        ("MRI", "mr"),
        ("T1_Gd", None),
        ("t1ce", "t1ce"),
        ("T2-FLAIR", "flair"),
        ("CBCT", "cbct"),
        ("ct_mask", "ct_mask"),
        ("brain_mask", "brain"),
        ("brainmask", "brain"),
        ("brain_on_t1", "brain_on_t1"),
        ("wml_on_flair", "wml_on_flair"),
        ("low-dose PET", "pet_low"),
        ("pet_full", "pet_full"),
        ("dseg", "label"),
        ("Segmentation", "label"),
        ("on_to", None),
        ("p01", None),
        ("mr_001", None),
        ("", None),
    ],
)
def test_a_column_of_known_words(text: str, column: str | None) -> None:
    assert known_column(text) == column


@pytest.mark.parametrize(
    ("stem", "pair"),
    [
        ("p01_t1", ("p01", "t1")),
        ("IXI002-Guys-0828-PD", ("IXI002-Guys-0828", "pd")),
        ("sub-01_T1w", ("sub-01", "t1")),
        ("p01_brain_mask", ("p01", "brain")),
        ("p01_t1_brain", ("p01", "t1_brain")),
        ("p 01 pet low", ("p 01", "pet_low")),
        ("ct_001", ("001", "ct")),
        ("MR_001_ct", ("MR_001", "ct")),
        ("a_low_ct", ("a", "low_ct")),
        ("ct_mask", ("ct", "mask")),
        ("orange", None),
        ("t1", None),
        ("___", None),
    ],
)
def test_a_stem_is_a_case_and_a_column(stem: str, pair: tuple[str, str] | None) -> None:
    assert split_stem(stem) == pair


@pytest.mark.parametrize(
    ("column", "kind", "modality"),
    [
        ("mr", "image", "mr"),
        ("t1_brain", "image", "mr"),
        ("ct_atlas", "image", "ct"),
        ("cbct", "image", "cbct"),
        ("pet_low", "image", "pet"),
        ("ct_mask", "mask", "ct"),
        ("brain_on_t1", "mask", "other"),
        ("body", "mask", "other"),
        ("wml_on_flair", "label", "other"),
        ("label", "label", "other"),
        ("tissue", "label", "other"),
        ("regions", "label", "other"),
        ("my_sequence", "image", "other"),
    ],
)
def test_what_a_column_holds(column: str, kind: str, modality: str) -> None:
    assert (kind_of(column), modality_of(column)) == (kind, modality)


def test_images_come_before_labels_and_masks() -> None:
    columns = ["brain", "zeta", "lesion", "ct", "alpha", "mr", "ct"]
    assert ordered(columns) == ["mr", "ct", "alpha", "zeta", "lesion", "brain"]


@given(st.text(max_size=80))
@example("split")
@example("é" * 60)
@example("患者")
def test_any_name_becomes_a_column(text: str) -> None:
    column = slug(text)
    assert re.fullmatch(r"[a-z0-9](?:[a-z0-9_]{0,44}[a-z0-9])?", column)
    assert column not in RESERVED
    assert slug(column) == column
    assert plain(text).isascii()


@given(st.text(max_size=40))
def test_any_stem_splits_into_its_own_parts_or_not_at_all(stem: str) -> None:
    pair = split_stem(stem)
    if pair is not None:
        assert pair[0]
        assert pair[0] in stem
        assert known_column(pair[1]) is not None
