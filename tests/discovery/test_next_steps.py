import shlex

import pytest

from medgen.config import shipped_configs
from medgen.discovery.columns import kind_of
from medgen.discovery.next_steps import next_steps


def steps(*columns: str, same_grids: bool = True) -> str:
    return "\n".join(next_steps(columns, [set(columns)], table="t.csv", same_grids=same_grids))


@pytest.mark.parametrize(
    ("columns", "name", "note"),
    [
        (("mr", "ct"), "mr_to_ct", ""),
        (("t1", "ct", "body"), "mr_to_ct", "write t1 for mr in roles"),
        (("cbct", "ct"), "cbct_to_ct", ""),
        (("t1", "flair"), "t1_to_flair", "source: [t1], target: [flair]"),
    ],
)
def test_a_configuration_that_fits(columns: tuple[str, ...], name: str, note: str) -> None:
    text = steps(*columns)
    assert f"--output {name}.yaml" in text
    assert f"medgen train planned.yaml --data t.csv --run runs/{name}" in text
    assert f"medgen plan {name}.yaml" in text
    assert note in text
    assert "prepare" not in text


@pytest.mark.parametrize(
    ("columns", "nearest"),
    [(("t1", "flair"), "cross_modality_mr"), (("t1", "pet"), "mr_to_ct")],
)
def test_a_pair_without_its_own_configuration_starts_from_the_nearest(
    columns: tuple[str, ...], nearest: str
) -> None:
    assert steps(*columns).startswith(f"medgen init {nearest} --output ")


def test_configurations_named_are_shipped() -> None:
    for columns in (("mr", "ct"), ("t1", "flair"), ("t1", "tissue"), ("cbct", "ct")):
        lines = [line for line in steps(*columns).splitlines() if line.startswith("medgen init ")]
        assert lines
        assert {line.split()[2] for line in lines} <= set(shipped_configs())


def test_other_grids_are_registered_first() -> None:
    text = steps("t1", "flair", "lesion", same_grids=False)
    assert text.startswith("medgen prepare --data t.csv --output prepared --fixed t1")
    assert "--moving flair " in text
    assert "--data prepared/cases.csv" in text
    assert "target: [flair_on_t1]" in text
    assert "--output t1_to_flair.yaml" in text


def test_labels_are_another_way() -> None:
    text = steps("t1", "flair", "lesion")
    assert "# or: then write source: [t1], label: [lesion]" in text
    assert "--output lesion_segmentation.yaml" in steps("t1", "lesion")


def test_two_scanners_are_not_proposed_of_columns_alone() -> None:
    """Which rows are of the scanner without labels is not said by columns."""
    assert "lesion_adaptation" not in steps("flair", "t2", "pd", "lesion")


def test_a_lone_column_lists_the_configurations() -> None:
    assert steps("swi").startswith("medgen init  #")


def test_a_table_with_a_space_stays_one_word() -> None:
    for line in next_steps(
        ["t1", "flair"], [{"t1", "flair"}], table="St. Mary's/my $x.csv", same_grids=True
    ):
        words = shlex.split(line, comments=True)
        assert words[0] == "medgen"
        assert "--data" not in words or words[words.index("--data") + 1] == "St. Mary's/my $x.csv"
    first = next_steps(["t1", "flair"], [{"t1", "flair"}], table="my cases.csv", same_grids=False)[
        0
    ]
    assert "--data 'my cases.csv' " in first


@pytest.mark.parametrize(
    ("columns", "notes"),
    [
        (("t1", "tissue"), ["source: [t1], label: [tissue]", "classes in labels"]),
        (("ct", "label"), ["source: [ct], label: [label]", "ct in intensity"]),
        (("ct", "liver_seg"), ["source: [ct], label: [liver_seg]"]),
        (("flair", "lesion"), ["source: [flair], label: [lesion]"]),
        (("t1", "lesion", "brain"), ["label: [lesion], mask: brain in roles"]),
        (("t1", "brain"), ["source: [t1], label: [brain]", "labels: {brain: 1}"]),
        (("t1", "t2", "tissue"), ["check its classes in labels"]),
    ],
)
def test_labels_and_brain_masks_lead_to_a_segmentation(
    columns: tuple[str, ...], notes: list[str]
) -> None:
    first = steps(*columns).splitlines()[0]
    assert first.startswith("medgen init tissue_segmentation --output ")
    assert all(note in first for note in notes), first


def test_what_was_drawn_on_an_image_goes_with_it() -> None:
    columns = ("t1", "flair", "lesion", "brain")
    drawn = {"lesion": "flair", "brain": "t1"}
    lines = next_steps(columns, [set(columns)], table="t.csv", same_grids=False, drawn_on=drawn)
    assert "--carry lesion=flair,brain=t1 " in lines[0]
    assert "check what" not in lines[0]
    assert "label: [lesion_on_t1], mask: brain in roles" in "".join(lines)
    unknown = next_steps(columns, [set(columns)], table="t.csv", same_grids=False)[0]
    assert "check what lesion, brain was drawn on" in unknown


def test_the_registration_printed_is_one_that_prepare_takes() -> None:
    from medgen.cli.prepare import _names, _pairs
    from medgen.preparation import Request

    columns = ("mr", "ct", "label", "body")
    line = next_steps(columns, [set(columns)], table="t.csv", same_grids=False)[0]
    words = shlex.split(line, comments=True)
    given = dict(zip(words[2::2], words[3::2], strict=True))
    assert set(given) == {"--data", "--output", "--fixed", "--moving", "--carry", "--hu"}
    request = Request(
        fixed=given["--fixed"],
        moving=_names(given["--moving"]),
        carry=_pairs(given["--carry"]),
        hounsfield=_names(given["--hu"]),
    )
    assert request.images == columns
    made = {column for column in columns if kind_of(column) != "image"}
    assert made == set(request.carry)


def test_columns_that_no_row_holds_together_make_no_step() -> None:
    apart = [{"t1"}, {"ct"}, {"tissue"}]
    text = "\n".join(next_steps(["t1", "ct", "tissue"], apart, table="t.csv", same_grids=False))
    assert text == "medgen init  # lists the configurations; no case has two columns"
    rows = [{"t1", "ct"}, {"t2", "tissue"}]
    found = next_steps(["t1", "t2", "ct", "tissue"], rows, table="t.csv", same_grids=True)
    inits = [line for line in found if line.startswith("medgen init ")]
    assert [line.split()[2] for line in inits] == ["mr_to_ct"]
    assert "1 of 2 cases have all of its columns" in inits[0]
    found = next_steps(
        ["t1", "t2", "tissue"], [{"t1", "t2"}, {"tissue"}], table="t", same_grids=True
    )
    assert not any("tissue_segmentation" in line for line in found)


def test_one_row_of_many_is_not_enough() -> None:
    rows = [{"t1", "flair"}] * 10 + [{"t1", "flair", "ct"}]
    columns = ["t1", "flair", "ct"]
    lines = next_steps(columns, rows, table="t.csv", same_grids=False)
    assert "--fixed t1 --moving flair " in lines[0]
    assert not any("ct_on_t1" in line for line in lines)
    lines = next_steps(columns, [*rows, rows[-1]], table="t.csv", same_grids=False)
    assert "--moving flair,ct " in lines[0]


def test_the_image_that_most_rows_share_stays() -> None:
    rows = [{"mr", "t1"}, *[{"t1", "ct"}] * 5, {"ct"}]
    line = next_steps(["mr", "t1", "ct"], rows, table="t.csv", same_grids=False)[0]
    assert "--fixed t1 --moving mr,ct " in line
    assert "1 of 7 cases have no t1 and are left out" in line


def test_other_frames_are_registered_first_and_labels_stay_with_their_image() -> None:
    rows = [{"t1", "ct", "tissue"}, {"t1", "ct"}]
    lines = next_steps(["t1", "ct", "tissue"], rows, table="t", same_grids=True, same_frames=False)
    assert lines[0].startswith("medgen prepare ")
    assert "--carry tissue=t1 " in lines[0]
    assert "frames of reference differ: register" in lines[0]
    assert lines[-1].startswith("medgen train planned.yaml --data prepared/cases.csv")
