import pytest

from medgen.data.rows import Row, Table
from medgen.evaluation.groups import words_of
from medgen.problems import ConfigurationError


def table(words: list[str]) -> Table:
    rows = [Row(f"c{n}", f"p{n}", {}, other={"kind": word}) for n, word in enumerate(words)]
    return Table(tuple(rows), ("case", "patient", "kind"))


def test_words_of_the_cases_asked_for() -> None:
    found = words_of(table(["mass 10 mm", " spot ", "", "other"]), "kind", ["c0", "c1", "c2"])
    assert found == {"c0": "mass 10 mm", "c1": "spot", "c2": "(no word)"}


@pytest.mark.parametrize(
    ("words", "column", "code", "said"),
    [
        (["a"], "size", "E_TABLE_COLUMN", "size"),
        (["a"], "patient", "E_GROUPS", "names each case"),
        ([f"MRN{n}" for n in range(25)], "kind", "E_GROUPS", "25 different words, at most 24"),
        (["a" * 41], "kind", "E_GROUPS", "no word"),
        (["a\x00b"], "kind", "E_GROUPS", "no word"),
    ],
)
def test_a_column_that_tells_patients_apart_is_refused(
    words: list[str], column: str, code: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        words_of(table(words), column, [f"c{n}" for n in range(len(words))])
    (problem,) = error.value.problems
    assert problem.code == code
    assert said in problem.message
    assert "MRN" not in str(problem)
