from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medgen.cli.convert_usage import Usage, formats_of
from medgen.problems import ConfigurationError

SOUND = Usage(
    volumes=Path("in"),
    data=None,
    split=None,
    nan_to=None,
    template=None,
    formats=("nifti",),
    limit_gb=None,
    executor="local",
    cores_per_worker=None,
)


def test_what_makes_sense_is_let_through() -> None:
    SOUND.check()
    replace(SOUND, executor="ray", cores_per_worker=2, limit_gb=16.0, nan_to=0.0).check()
    replace(SOUND, executor="ray://head:10001", formats=("dicom",), template=Path("t")).check()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"data": Path("t.csv")}, "--input or --data"),
        ({"volumes": None}, "--input or --data"),
        ({"split": "test"}, "--split needs --data"),
        ({"nan_to": float("inf")}, "--nan-to"),
        ({"template": Path("t")}, "--dicom-template"),
        ({"limit_gb": 0.1}, "0.1 GB, and not 0.5 or more"),
        ({"limit_gb": float("inf")}, "inf GB, and not 0.5 or more"),
        ({"limit_gb": float("nan")}, "--limit-memory"),
        ({"executor": "slurm"}, "--executor"),
        ({"cores_per_worker": 4}, "--cores-per-worker needs --executor ray"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match="E_USAGE") as caught:
        replace(SOUND, **wrong).check()
    assert named in str(caught.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        replace(SOUND, split="test", executor="slurm").check()
    assert len(caught.value.problems) == 2


def test_formats_are_taken_in_the_order_asked_for() -> None:
    assert formats_of("DICOM, nifti") == ("dicom", "nifti")
    for wrong in ("", "nifti,nifti", "png"):
        with pytest.raises(ConfigurationError, match="--format"):
            formats_of(wrong)
