"""Thinning: what is added has mean 0 and (1/d - 1) times the variance of the stated counts."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from medgen.phantom.projections import build_camera
from medgen.phantom.thinning import Thinning, thin
from medgen.problems import ConfigurationError, Refusal
from medgen.volumes import Grid, Volume

WIDTH, HEIGHT, SLICES = 18, 22, 400
PIXELS = (5.0, 6.0)
PER_SLICE = 20_000.0


def disc(slices: int = SLICES) -> np.ndarray:
    """Return equal slices: each is one more draw of the same counts."""
    x = (np.arange(WIDTH) - 8.0) * PIXELS[0]
    y = (np.arange(HEIGHT) - 11.0) * PIXELS[1]
    plane = 2.0 * (np.hypot(x[:, None], y[None, :]) < 34.0)
    plane += 4.0 * (np.hypot(x[:, None] - 12.0, y[None, :]) < 9.0)
    return np.repeat(plane[:, :, None], slices, axis=2).astype(np.float32)


def volume(data: np.ndarray, unit: str = "SUV") -> Volume:
    return Volume(data, Grid(data.shape, np.diag([*PIXELS, 3.0, 1.0])), unit=unit)  # type: ignore[arg-type]


def plain(
    dose: float, seed: int = 0, counts: float = PER_SLICE * SLICES, **given: float
) -> Thinning:
    return Thinning(dose_fraction=dose, counts=counts, seed=seed, **{"smoothing_mm": 0.0, **given})


@pytest.fixture(scope="module")
def expected_variance() -> Callable[..., np.ndarray]:
    """Return the variance of reconstructed counts by linear algebra: sum of R^2 times counts.

    R is found by reconstructing every bin alone, which shares no statistics with the draws.
    """
    camera = build_camera(WIDTH, HEIGHT, PIXELS, 6.0)
    bins = camera.matrix.shape[0]
    response = camera.reconstruct(np.eye(bins, dtype=np.float32), (WIDTH, HEIGHT, bins))

    def variance(background: float, attenuation: np.ndarray | None = None) -> np.ndarray:
        survival = np.ones(bins)
        if attenuation is not None:
            survival = np.exp(-camera.project(attenuation[:, :, :1])[:, 0])
        trues = camera.project(disc(1))[:, 0].astype(float) * survival
        gain = PER_SLICE / trues.sum()
        counts = gain * trues + gain * trues.mean() * background / (1.0 - background)
        return np.asarray((response.astype(float) ** 2) @ (counts / (gain * survival) ** 2))

    return variance


def test_the_mean_is_kept_and_the_variance_grows_as_stated(
    expected_variance: Callable[..., np.ndarray],
) -> None:
    added = thin(volume(disc()), plain(0.25, background_fraction=0.3)).data - disc()
    wanted = expected_variance(0.3) * (1 / 0.25 - 1)
    ratio = added.var(axis=2) / wanted
    assert ratio.mean() == pytest.approx(1.0, abs=0.02)
    assert ratio.min() > 0.7
    assert ratio.max() < 1.4
    z = added.mean(axis=2) / np.sqrt(wanted / SLICES)
    assert np.abs(z).max() < 5.0
    assert z.std() == pytest.approx(1.0, abs=0.35)


def test_it_is_the_variance_of_poisson_counts_of_a_full_dose() -> None:
    """The same by drawing: a scan of the stated counts, reconstructed many times."""
    camera = build_camera(WIDTH, HEIGHT, PIXELS, 6.0)
    lines = camera.project(disc()).astype(float)
    gain = PER_SLICE * SLICES / lines.sum()
    drawn = np.random.default_rng(5).poisson(lines * gain).astype(np.float32) / np.float32(gain)
    full = camera.reconstruct(drawn, disc().shape)
    for dose in (0.5, 0.1):
        thinned = thin(volume(full), plain(dose, background_fraction=0.0)).data
        ratio = thinned.var(axis=2).mean() / full.var(axis=2).mean()
        assert ratio == pytest.approx(1 / dose, rel=0.03)


def test_seeds_give_the_same_variance_and_other_noise() -> None:
    few, counts = disc(40), PER_SLICE * 40
    draws = np.stack([thin(volume(few), plain(0.1, seed, counts)).data - few for seed in range(8)])
    across = draws.var(axis=0, ddof=1).mean()
    assert across == pytest.approx(draws.var(axis=3, ddof=1).mean(), rel=0.05)
    assert abs(np.corrcoef(draws[0].ravel(), draws[1].ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(draws[0, :, :, 0].ravel(), draws[0, :, :, 1].ravel())[0, 1]) < 0.3


def test_halving_twice_is_a_quarter() -> None:
    half = thin(volume(disc()), plain(0.5, 1))
    twice = thin(half, plain(0.5, 2, PER_SLICE * SLICES / 2)).data - disc()
    once = thin(volume(disc()), plain(0.25, 3)).data - disc()
    assert twice.var(axis=2).mean() == pytest.approx(once.var(axis=2).mean(), rel=0.03)


def test_attenuation_is_undone_and_takes_its_counts(
    expected_variance: Callable[..., np.ndarray],
) -> None:
    attenuation = np.where(disc() > 0, 0.0096, 0.0).astype(np.float32)
    given = plain(0.25, background_fraction=0.2)
    added = thin(volume(disc()), given, attenuation=attenuation).data - disc()
    wanted = 3.0 * expected_variance(0.2, attenuation)
    assert (added.var(axis=2) / wanted).mean() == pytest.approx(1.0, abs=0.02)
    attenuated, free = added.var(axis=2), 3.0 * expected_variance(0.2)
    middle = (slice(7, 10), slice(10, 13))
    assert attenuated[middle].mean() / attenuated[0].mean() > 1.1 * (
        free[middle].mean() / free[0].mean()
    )


def test_the_whole_dose_changes_nothing_and_a_seed_repeats_itself() -> None:
    image = volume(disc(20) - 0.5)
    np.testing.assert_array_equal(thin(image, plain(1.0)).data, image.data)
    first, again = thin(image, plain(0.1)).data, thin(image, plain(0.1)).data
    np.testing.assert_array_equal(first, again)
    assert (thin(image, plain(0.1), case="other").data != first).any()
    assert first.dtype == np.float32


def test_smoothing_is_a_filter_of_the_same_noise() -> None:
    image = volume(disc(20))
    rough, smooth = (
        thin(image, plain(0.1, smoothing_mm=width)).data - image.data for width in (0.0, 8.0)
    )
    sigma = 8.0 / np.sqrt(8.0 * np.log(2.0)) / np.array([*PIXELS, 3.0])
    expected = ndimage.gaussian_filter(rough, sigma, mode="constant")
    np.testing.assert_allclose(smooth, expected, atol=1e-5 * float(np.abs(rough).max()))


def test_values_scale_and_negative_ones_stay() -> None:
    image = disc(20)
    image[::2] -= 0.05
    low = thin(volume(image), plain(0.1)).data
    scaled = thin(volume(2048.0 * image, "Bq/ml"), plain(0.1))
    assert scaled.unit == "Bq/ml"
    np.testing.assert_allclose(scaled.data, 2048.0 * low, rtol=1e-3, atol=1e-2)
    assert (low < image.min()).any()


@pytest.mark.parametrize(
    ("axes", "flips"), [((2, 0, 1), (0,)), ((1, 2, 0), (0, 1, 2)), ((0, 1, 2), (2,))]
)
def test_noise_belongs_to_the_patient_not_to_the_stored_order(
    axes: tuple[int, int, int], flips: tuple[int, ...]
) -> None:
    tilt = np.eye(4)
    cosine, sine = np.cos(0.3), np.sin(0.3)
    tilt[1:3, 1:3] = [[cosine, -sine], [sine, cosine]]
    grid = Grid((WIDTH, HEIGHT, 12), tilt @ np.diag([*PIXELS, 3.0, 1.0]))
    data = disc(12)
    data[:, :, 6:] *= 3.0
    order = np.zeros((4, 4))
    order[3, 3] = 1.0
    for new, old in enumerate(axes):
        order[old, new] = -1.0 if new in flips else 1.0
        order[old, 3] = data.shape[old] - 1.0 if new in flips else 0.0
    stored = np.flip(data.transpose(axes), flips)
    other = Volume(stored, Grid(stored.shape, grid.affine @ order), unit="SUV")  # type: ignore[arg-type]
    straight = thin(Volume(data, grid, unit="SUV"), plain(0.1)).data
    turned = thin(other, plain(0.1))
    assert turned.grid is other.grid
    back = np.flip(turned.data, flips).transpose(np.argsort(axes))
    np.testing.assert_allclose(back, straight, atol=1e-4)


def test_narrow_pixels_do_not_bring_finer_noise() -> None:
    """Bins stay as wide as a scanner's, so noise is smooth over voxels finer than they are."""
    data = np.zeros((80, 60, 8), np.float32)
    data[20:60, 15:45] = 1.0
    grid = Grid(data.shape, np.diag([1.5, 1.5, 3.0, 1.0]))
    noise = thin(Volume(data, grid, unit="SUV"), plain(0.1, counts=1e6)).data - data
    correlation = np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]
    assert correlation > 0.85


def test_what_is_no_pet_or_no_right_grid_is_refused() -> None:
    with pytest.raises(Refusal, match="E_PET_UNITS"):
        thin(volume(disc(4), "HU"), plain(0.1))
    with pytest.raises(Refusal, match="E_NO_ACTIVITY"):
        thin(volume(np.zeros((8, 8, 4), np.float32)), plain(0.1))
    sheared = np.diag([*PIXELS, 3.0, 1.0])
    sheared[0, 1] = 1.0
    with pytest.raises(Refusal, match="E_SHEARED"):
        thin(Volume(disc(4), Grid((WIDTH, HEIGHT, 4), sheared), unit="SUV"), plain(0.1))


def test_all_that_cannot_be_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Thinning(dose_fraction=0.0, counts=0.0, background_fraction=1.0, smoothing_mm=-1.0, seed=-1)
    codes = [problem.code for problem in caught.value.problems]
    assert codes == ["E_DOSE", "E_COUNTS", "E_BACKGROUND", "E_SMOOTHING", "E_SEED"]
