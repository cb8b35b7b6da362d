from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_corpus import CT, MR, PT, make_slices
from dicom_truth import assert_discreet
from pydicom.dataset import Dataset

from medgen.dicom.choice import Choice
from medgen.dicom.frames import Frame, Instance
from medgen.dicom.geometry import arrange
from medgen.dicom.stacks import chooses_between
from medgen.problems import Problem

SHAPE = (4, 4, 5)
Marks = Callable[[Dataset, int, int], None]
"""Mark a header by its stack and its slice."""


def stacks(modality: str, count: int, mark: Marks) -> list[Frame]:
    headers = []
    for stack in range(count):
        for index, header in enumerate(make_slices(modality, shape=SHAPE)[0]):
            mark(header, stack, index)
            headers.append(header)
    order = np.random.default_rng(0).permutation(len(headers))
    return [Frame(Instance(Path("x"), headers[i]), 0, headers[i]) for i in order]


def picked(frames: list[Frame], **choice: int) -> tuple[list[Frame], list[Problem]]:
    return chooses_between(frames, Choice(**choice))  # type: ignore[arg-type]


def setting(keyword: str, *values: object) -> Marks:
    return lambda header, stack, _: setattr(header, keyword, values[stack])


def rising(keyword: str, first: float, step: float) -> Marks:
    return lambda header, _, index: setattr(header, keyword, f"{first + step * index:.4f}")


ECHOES = setting("EchoTime", "4.6", "9.2")
TIMES = ("101700", "101742.5", "101823")


def test_one_stack_needs_no_choice() -> None:
    frames = stacks(MR, 1, lambda *_: None)
    assert picked(frames) == (frames, [])
    assert picked(frames, echo=1, phase=1) == (frames, [])
    assert [one.code for one in picked(frames, echo=2)[1]] == ["E_NO_ECHO"]
    assert [one.code for one in picked(frames, phase=2)[1]] == ["E_NO_PHASE"]
    assert picked([]) == ([], [])


def test_echoes_are_named_with_their_times() -> None:
    _, (problem,) = picked(stacks(MR, 2, ECHOES))
    assert str(problem) == (
        "E_SEVERAL_ECHOES: the series holds 2 echoes, told apart by EchoTime: 1: 4.6 ms (5 images),"
        " 2: 9.2 ms (5 images) -> choose one with --echo N"
    )


@pytest.mark.parametrize("echo", [1, 2])
def test_an_echo_is_chosen_in_rising_order(echo: int) -> None:
    frames, problems = picked(stacks(MR, 2, setting("EchoTime", "9.2", "4.6")), echo=echo)
    assert not problems
    assert {float(frame.header.EchoTime) for frame in frames} == {(4.6, 9.2)[echo - 1]}
    assert arrange(frames)[0] is not None


def test_echo_times_that_hardly_differ_are_one() -> None:
    frames = stacks(
        MR, 1, lambda header, _, index: setattr(header, "EchoTime", f"{4.6 + 1e-3 * index:.4f}")
    )
    assert picked(frames) == (frames, [])


def test_echoes_at_other_places_are_told_too() -> None:
    frames = stacks(
        MR, 1, lambda header, _, index: setattr(header, "EchoTime", f"{10 * index + 5}")
    )
    assert [one.code for one in picked(frames)[1]] == ["E_SEVERAL_ECHOES"]


def test_echo_numbers_count_where_times_are_the_same() -> None:
    frames, problems = picked(stacks(MR, 2, setting("EchoNumbers", 1, 2)), echo=2)
    assert not problems
    assert {frame.header.EchoNumbers for frame in frames} == {2}


@pytest.mark.parametrize(
    ("modality", "keyword", "values", "said"),
    [
        (MR, "TemporalPositionIdentifier", (1, 2, 3), "1: 1 (5 images)"),
        (MR, "TemporalPositionIndex", (1, 2, 3), "3: 3 (5 images)"),
        (CT, "NominalPercentageOfCardiacPhase", (0, 35, 75), "2: 35 % (5 images)"),
        (MR, "DiffusionBValue", (0.0, 500.0, 1000.0), "3: 1000 s/mm2 (5 images)"),
        (MR, "InversionTime", ("100", "800", "2500"), "2: 800 ms"),
        (MR, "FlipAngle", ("4", "12", "20"), "12 degrees"),
        (CT, "AcquisitionNumber", (2, 3, 9), "3: 9 (5 images)"),
        (PT, "FrameReferenceTime", ("0", "60000", "120000"), "60000 ms"),
        (CT, "AcquisitionTime", TIMES, "2: 42.5 s after the first (5 images)"),
        (CT, "ContentTime", TIMES, "3: 83 s after the first"),
        (MR, "ImageType", (["DERIVED", "W"], ["DERIVED", "F"], ["DERIVED", "IP"]), "ImageType"),
    ],
)
def test_phases_name_the_tag_that_varies(
    modality: str, keyword: str, values: tuple[object, ...], said: str
) -> None:
    frames = stacks(modality, 3, setting(keyword, *values))
    _, (problem,) = picked(frames)
    assert problem.code == "E_SEVERAL_PHASES"
    assert keyword in problem.message
    assert said in problem.message
    assert_discreet([problem], besides=TIMES)
    for phase in (1, 2, 3):
        chosen, problems = picked(frames, phase=phase)
        assert not problems
        assert len({str(frame.header.get(keyword)) for frame in chosen}) == 1
        assert arrange(chosen)[0] is not None
    assert [one.code for one in picked(frames, phase=4)[1]] == ["E_NO_PHASE"]


def test_gated_phases_whose_times_differ_between_slices() -> None:
    def mark(header: Dataset, stack: int, index: int) -> None:
        header.TriggerTime = f"{stack * (30 + index) + index % 2}"

    frames = stacks(MR, 4, mark)
    chosen, problems = picked(frames, phase=3)
    assert not problems
    by_place = sorted(
        (float(one.header.ImagePositionPatient[2]), float(one.header.TriggerTime)) for one in chosen
    )
    assert [time for _, time in by_place] == [2 * (30 + i) + i % 2 for i in range(5)]


def test_phases_of_different_lengths() -> None:
    frames = stacks(CT, 2, setting("AcquisitionNumber", 1, 2))
    frames = [
        one
        for one in frames
        if one.header.AcquisitionNumber == 1 or one.header.ImagePositionPatient[2] < 40
    ]
    _, (problem,) = picked(frames)
    assert "1: 1 (5 images), 2: 2 (3 images)" in problem.message
    assert len(picked(frames, phase=2)[0]) == 3


def test_midnight_between_phases() -> None:
    def mark(header: Dataset, stack: int, _: int) -> None:
        header.AcquisitionDate, header.AcquisitionTime = (
            ("20200101", "235950"),
            ("20200102", "000010"),
        )[stack]

    frames = stacks(CT, 2, mark)
    chosen, _ = picked(frames, phase=2)
    assert {one.header.AcquisitionTime for one in chosen} == {"000010"}
    assert "2: 20 s after the first" in picked(frames)[1][0].message


def test_echoes_and_phases_at_once_are_both_told() -> None:
    def mark(header: Dataset, stack: int, _: int) -> None:
        header.EchoTime, header.TemporalPositionIdentifier = (5, 10)[stack % 2], stack // 2

    frames = stacks(MR, 4, mark)
    assert [one.code for one in picked(frames)[1]] == ["E_SEVERAL_ECHOES", "E_SEVERAL_PHASES"]
    chosen, problems = picked(frames, echo=2, phase=1)
    assert not problems
    assert {(one.header.EchoTime, one.header.TemporalPositionIdentifier) for one in chosen} == {
        (10, 0)
    }


def test_a_doubled_slice_is_no_phase() -> None:
    frames = stacks(CT, 1, lambda *_: None)
    twin = make_slices(CT, shape=SHAPE)[0][2]
    twin.ContentTime = twin.AcquisitionTime = "235959"
    twin.AcquisitionNumber = 2
    kept, problems = picked([*frames, Frame(Instance(Path("y"), twin), 0, twin)])
    assert (len(kept), problems) == (6, [])


def test_stacks_that_nothing_tells_apart_stay() -> None:
    kept, problems = picked(stacks(CT, 2, lambda *_: None))
    assert (len(kept), problems) == (10, [])


@pytest.mark.filterwarnings("ignore:Invalid value for VR TM")
@pytest.mark.parametrize("bad", ["", "x", "25", "1200000.12345678"])
def test_damaged_times_do_not_matter(bad: str) -> None:
    def mark(header: Dataset, stack: int, index: int) -> None:
        header.AcquisitionTime = bad
        header.ContentTime = f"1200{5 * stack + index:02d}"

    assert "ContentTime" in picked(stacks(CT, 2, mark))[1][0].message


def made_in_any_order(header: Dataset, stack: int, index: int) -> None:
    """Mark two stacks whose images were made in pairs, now one first and now the other."""
    header.ContentTime = f"1200{2 * index + (stack + index // 2) % 2:02d}"


def test_times_of_images_made_in_any_order_make_no_phases() -> None:
    kept, problems = picked(stacks(CT, 2, made_in_any_order))
    assert (len(kept), problems) == (10, [])  # duplicates, says the geometry


def test_instance_numbers_confirm_times_that_take_turns() -> None:
    def mark(header: Dataset, stack: int, index: int) -> None:
        header.ContentTime = f"1200{2 * index + stack:02d}"
        header.InstanceNumber = 10 * stack + index

    chosen, problems = picked(stacks(CT, 2, mark), phase=2)
    assert not problems
    assert {one.header.InstanceNumber for one in chosen} == set(range(10, 15))

    def disagree(header: Dataset, stack: int, index: int) -> None:
        made_in_any_order(header, stack, index)
        header.InstanceNumber = 10 * stack + index

    assert len(picked(stacks(CT, 2, disagree))[0]) == 10


def test_phases_that_lack_different_images_are_not_mixed() -> None:
    def mark(header: Dataset, stack: int, _: int) -> None:
        header.TemporalPositionIdentifier = stack + 1

    def lost(frame: Frame) -> bool:
        even = round(float(frame.header.ImagePositionPatient[2]) * 1000) in heights[::2]
        return bool(frame.header.TemporalPositionIdentifier == (3 if even else 1))

    frames = stacks(CT, 3, mark)
    heights = sorted({round(float(one.header.ImagePositionPatient[2]) * 1000) for one in frames})
    left = [frame for frame in frames if not lost(frame)]
    assert len(left) == 10  # two images at each position
    for phase in (1, 2, 3):
        chosen, problems = picked(left, phase=phase)
        assert not problems
        assert {one.header.TemporalPositionIdentifier for one in chosen} == {phase}


def woven(mark: Marks) -> list[Frame]:
    """Return two stacks of which one lies in the gaps of the other."""
    headers = make_slices(MR, shape=(4, 4, 10))[0]
    for index, header in enumerate(headers):
        mark(header, index % 2, index // 2)
    return [Frame(Instance(Path("x"), header), 0, header) for header in headers]


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("ConvolutionKernel", ("B30f", "B70f")),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])),
        ("ComplexImageComponent", ("MAGNITUDE", "PHASE")),
        ("KVP", ("80", "140")),
        ("InversionTime", ("900", "2500")),
        ("DiffusionBValue", (0.0, 1000.0)),
        ("ContrastBolusAgent", ("", "OMNIPAQUE")),
        ("StackID", ("1", "2")),
    ],
)
def test_stacks_in_each_others_gaps_are_told_apart(
    keyword: str, values: tuple[object, ...]
) -> None:
    frames = woven(setting(keyword, *values))
    assert [one.code for one in picked(frames)[1]] == ["E_SEVERAL_PHASES"]
    assert keyword in picked(frames)[1][0].message
    chosen, problems = picked(frames, phase=2)
    assert (len(chosen), problems) == (5, [])
    assert len({str(one.header[keyword].value) for one in chosen}) == 1


@pytest.mark.parametrize(
    ("keyword", "values"), [("AcquisitionNumber", (1, 2)), ("AcquisitionTime", ("1200", "1201"))]
)
def test_odd_slices_acquired_before_even_ones_are_one_stack(
    keyword: str, values: tuple[object, ...]
) -> None:
    assert picked(woven(setting(keyword, *values)))[1] == []


def test_halves_of_a_stack_may_differ() -> None:
    def mark(header: Dataset, _: int, index: int) -> None:
        header.ConvolutionKernel = "B30f" if index < 2 else "B70f"

    assert picked(stacks(CT, 1, mark))[1] == []
