from medgen.data.rows import Row, Table
from medgen.preparation.cases import Case
from medgen.preparation.record import Record, Result
from medgen.preparation.request import Request
from medgen.preparation.tables import MANIFEST_HEADER, manifest, new_table
from medgen.problems import Problem

REQUEST = Request(fixed="t1", moving=("flair",))


def test_a_line_per_result_and_cells_that_stay_cells() -> None:
    result = Result(
        "flair", "flair_on_t1", "moved", "failed", ("a\tb\nc",), after={"outline_dice": 0.5}
    )
    records = [
        Record("c1", "done", "", results=(result,)),
        Record("c2", "done", "", problems=(Problem("E_BAD_HEADER", "broken", case="c2"),)),
    ]
    header, first, second, rest = manifest(records).split("\n")
    assert header == MANIFEST_HEADER
    columns = header.split("\t")
    cells = dict(zip(columns, first.split("\t"), strict=True))
    assert cells["outline_dice_after"] == "0.5"
    assert cells["reasons"] == "a b c"
    cells = dict(zip(columns, second.split("\t"), strict=True))
    assert (cells["case"], cells["verdict"], cells["codes"]) == ("c2", "failed", "E_BAD_HEADER")
    assert rest == ""


def test_the_table_has_split_and_site_where_the_old_one_had_them() -> None:
    row = Row("c1", "a, b", {}, site="north")
    record = Record(
        "c1", "done", "", results=(Result("t1", "t1", "fixed", "ok", file="t1.nii.gz"),)
    )
    table = Table((row,), ("case", "patient", "site", "t1", "flair"))
    text = new_table(table, [Case(row)], REQUEST, {"c1": record})
    assert text.splitlines() == [
        "case,patient,site,t1,flair_on_t1,flair_on_t1_verdict",
        'c1,"a, b",north,c1/t1.nii.gz,,',
    ]
