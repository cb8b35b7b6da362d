import pytest

from medgen.preparation import Request
from medgen.problems import ConfigurationError


def messages(**options: object) -> str:
    with pytest.raises(ConfigurationError) as error:
        Request(**{"fixed": "t1", "moving": ("flair",)} | options)  # type: ignore[arg-type]
    return "\n".join(map(str, error.value.problems))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"moving": ()}, "nothing to do"),
        ({"transform": "elastic"}, "rigid, affine, deformable"),
        ({"masks": ("skull",)}, "known: body, brain, seen"),
        ({"masks": ("brain",), "hounsfield": ("t1",)}, "needs a T1"),
        ({"min_overlap": 1.5}, "1.5"),
        ({"min_overlap": float("nan")}, "nan"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "--spacing"),
        ({"nan_to": float("inf")}, "--nan-to"),
        ({"n4": ("pd",)}, "fixed or moving"),
        ({"n4": ("flair",), "hounsfield": ("flair",)}, "in HU"),
        ({"carry": {"lesion": "pd"}}, "ride along with 'pd'"),
        ({"moving": ("flair", "flair")}, "given twice"),
        ({"moving": ("t1",)}, "given twice"),
        ({"moving": ("../etc",)}, "E_COLUMN_NAME"),
        ({"carry": {"body": "t1"}, "masks": ("body",)}, "have this column twice"),
        ({"keep": ("flair_on_t1_verdict",)}, "have this column twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, object], told: str) -> None:
    assert told in messages(**options)


def test_every_problem_is_told_at_once() -> None:
    told = messages(transform="x", masks=("y",), min_overlap=2.0)
    assert told.count("E_USAGE") == 3


def test_results_are_named_after_where_they_lie() -> None:
    request = Request(
        fixed="t1", moving=("flair",), carry={"wml": "flair", "brain": "t1"}, masks=("body",)
    )
    assert request.results == ("t1", "flair_on_t1", "wml_on_t1", "brain", "body")


def test_the_digest_follows_what_decides_the_volumes_and_nothing_else() -> None:
    first = Request(fixed="t1", moving=("flair",))
    assert Request(fixed="t1", moving=("flair",), keep=("age",)).digest == first.digest
    assert Request(fixed="t1", moving=("flair",), transform="affine").digest != first.digest
    assert Request(fixed="t1", moving=("flair",), n4=("t1",)).digest != first.digest
