import numpy as np
import pytest

from medgen.phantom import mr
from medgen.phantom.randomness import Streams
from medgen.phantom.relaxation import AT_1_5_TESLA, AT_3_TESLA, Relaxation, draw_relaxation
from medgen.phantom.scanners import (
    CONTRASTS,
    ONE,
    SCANNERS,
    TWO,
    InversionRecovery,
    PreparedGradientEcho,
    SpinEcho,
    SpoiledGradientEcho,
)
from medgen.phantom.tissues import Tissue


def _published(rows):
    return draw_relaxation(rows, np.random.default_rng(0), spread=0.0)


def _one(t1_ms, t2_ms=100.0, density=1.0):
    return Relaxation(*(np.array([value]) for value in (t1_ms, t2_ms, density)))


def test_spin_echo_by_hand():
    found = SpinEcho(repetition_ms=1000.0, echo_ms=50.0).signal(_one(500.0))
    assert found[0] == pytest.approx((1 - np.exp(-2)) * np.exp(-0.5))


def test_inversion_recovery_nulls_what_its_time_is_meant_for():
    null_ms = 4000.0 * (np.log(2) - np.log1p(np.exp(-9000 / 4000)))
    sequence = InversionRecovery(repetition_ms=9000.0, inversion_ms=null_ms, echo_ms=100.0)
    assert sequence.signal(_one(4000.0))[0] == pytest.approx(0.0, abs=1e-12)


def test_spoiled_echo_peaks_at_the_ernst_angle():
    ernst = float(np.degrees(np.arccos(np.exp(-20.0 / 800.0))))
    signals = [
        SpoiledGradientEcho(repetition_ms=20.0, echo_ms=4.0, flip_degrees=angle).signal(
            _one(800.0)
        )[0]
        for angle in (ernst - 3, ernst, ernst + 3)
    ]
    assert signals[1] > max(signals[0], signals[2])


def test_prepared_echo_equals_a_step_by_step_simulation():
    sequence = PreparedGradientEcho(
        repetition_ms=2000.0,
        inversion_ms=900.0,
        echo_ms=3.0,
        spacing_ms=8.0,
        echoes=176,
        flip_degrees=9.0,
    )
    t1, cosine = 900.0, np.cos(np.radians(9.0))
    half = 8.0 * 176 / 2

    def recover(m, ms):
        return 1 - (1 - m) * np.exp(-ms / t1)

    m = 1.0
    for _ in range(20):  # until steady
        m = recover(-m, 900.0 - half)
        for echo in range(176):
            if echo == 88:
                read = abs(m) * np.sin(np.radians(9.0))
            m = recover(m * cosine, 8.0)
        m = recover(m, 2000.0 - 900.0 - half)
    expected = read * np.exp(-3.0 / 100.0)
    assert sequence.signal(_one(t1))[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scanner", SCANNERS.values(), ids=lambda scanner: scanner.name)
def test_contrasts_order_tissues_as_radiology_knows_them(scanner):
    tissue = _published(scanner.tissues)
    t1, t2, pd, flair = (scanner.sequences[name].signal(tissue) for name in CONTRASTS)
    for darker, brighter in [
        (t1[Tissue.CSF], t1[Tissue.GREY]),
        (t1[Tissue.GREY], t1[Tissue.WHITE]),
        (t1[Tissue.WHITE], t1[Tissue.FAT]),
        (t2[Tissue.WHITE], t2[Tissue.GREY]),
        (t2[Tissue.GREY], t2[Tissue.CSF]),
        (t2[Tissue.MUSCLE], t2[Tissue.FAT]),
        (pd[Tissue.WHITE], pd[Tissue.GREY]),
        (flair[Tissue.WHITE], flair[Tissue.GREY]),
        (flair[Tissue.CSF], flair[Tissue.WHITE]),
    ]:
        assert darker < brighter
    for image in (t1, t2, pd, flair):
        assert image[Tissue.CORTICAL_BONE] < 0.1 * image[Tissue.FAT]
        assert image[Tissue.AIR] == image[Tissue.AIRWAY] == 0.0


def test_the_second_scanner_is_no_affine_copy_of_the_first():
    tissues = [Tissue.FAT, Tissue.MUSCLE, Tissue.CSF, Tissue.GREY, Tissue.WHITE, Tissue.MARROW]
    first = ONE.sequences["t1"].signal(_published(AT_3_TESLA))[tissues]
    second = TWO.sequences["t1"].signal(_published(AT_1_5_TESLA))[tissues]
    design = np.stack([first, np.ones_like(first)], axis=1)
    fitted = design @ np.linalg.lstsq(design, second, rcond=None)[0]
    assert np.abs(fitted - second).max() > 0.05 * second.max()


def test_persons_differ_by_ten_percent_at_most():
    published = _published(AT_3_TESLA)
    drawn = [mr.draw_tissue(Streams(0, person), ONE) for person in range(60)]
    for name in ("t1_ms", "t2_ms"):
        ratio = np.stack([vars(tissue)[name] for tissue in drawn]) / vars(published)[name]
        assert 0.9 - 1e-9 <= ratio.min() < 0.94
        assert 1.06 < ratio.max() <= 1.1 + 1e-9


def test_shading_has_the_range_asked_for():
    field = mr.shading((20, 24, 28), 0.3, np.random.default_rng(1))
    assert field.max() - field.min() == pytest.approx(0.3, abs=1e-4)
    assert field.min() > 0


def test_background_is_rayleigh(make):
    """With no signal, a magnitude image of complex noise has this ratio of mean to deviation."""
    case = make()
    image = case.volumes["t1"].data
    corner = image[:, -4:, -6:]
    assert corner.mean() / corner.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.1)
    assert image.min() >= 0
