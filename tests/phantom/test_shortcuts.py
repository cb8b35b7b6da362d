"""The realism contract: what is too easy on the phantom would mean nothing on patients."""

import numpy as np
import pytest

from medgen.phantom import CaseSettings, simulate
from medgen.phantom.anatomy import draw_head
from medgen.phantom.geometry import draw_placement
from medgen.phantom.lesions import draw_lesions
from medgen.phantom.randomness import Streams
from medgen.phantom.tissues import Tissue

pytestmark = pytest.mark.slow

SIZE = (96, 112, 96)
BINS = 200


def _tissues(index, settings):
    streams = Streams(0, index)
    grid = draw_placement(streams, settings.size, False, True).mr
    head = draw_head(streams, draw_lesions(streams, settings.lesions))
    return head.on(grid.shape, grid.affine)


def _best_threshold_dice(values, lesion):
    """Return the Dice of the best `values >= threshold`, over every threshold."""
    order = np.argsort(values)[::-1]
    hits = np.cumsum(lesion[order])
    return float((2 * hits / (np.arange(1, len(order) + 1) + lesion.sum())).max())


@pytest.mark.parametrize("scanner", ["one", "two"])
def test_no_flair_threshold_finds_white_matter_lesions(scanner):
    found = []
    for index in range(4):
        settings = CaseSettings(size=SIZE, lesions="white-matter", scanner=scanner)
        case, tissues = simulate(0, index, settings), _tissues(index, settings)
        brain = [Tissue.GREY, Tissue.WHITE, Tissue.DEEP_GREY, Tissue.WHITE_MATTER_LESION]
        inside = tissues.share(*brain) > 0.5
        lesion = case.volumes["lesion"].data[inside] > 0
        assert lesion.sum() > 50
        found.append(_best_threshold_dice(case.volumes["flair"].data[inside], lesion))
    print(f"best FLAIR threshold, scanner {scanner}: Dice {np.round(found, 3)}")
    assert max(found) < 0.5


@pytest.fixture(scope="module")
def cases():
    return [simulate(0, index, CaseSettings(size=SIZE)) for index in range(8)]


def test_intensity_alone_does_not_give_hounsfield_units(cases):
    """The median HU per MR intensity errs several times more than knowing the tissue does."""
    pairs = []
    for case in cases:
        body = case.volumes["body"].data > 0
        low, high = np.percentile(case.volumes["t1"].data[body], (0.5, 99.5))
        scaled = (case.volumes["t1"].data[body] - low) / (high - low)
        bins = np.clip(((scaled + 0.2) / 1.4 * BINS).astype(int), 0, BINS - 1)
        pairs.append((bins, case.volumes["ct"].data[body]))
    bins, hounsfield = (np.concatenate(part) for part in zip(*pairs[:6], strict=True))
    medians = np.array(
        [np.median(hounsfield[bins == b]) if (bins == b).any() else 0.0 for b in range(BINS)]
    )
    for case, (bins, hounsfield) in zip(cases[6:], pairs[6:], strict=True):
        error = float(np.abs(medians[bins] - hounsfield).mean())
        floor = case.truth["ct"]["ct_tissue_floor_hu"]
        print(f"per-intensity median {error:.0f} HU, true tissue {floor:.0f} HU")
        assert error > 100.0
        assert error > 3.0 * floor


def test_an_average_head_is_not_this_head(cases):
    """Even placed by the true pose, the median CT of others errs far more than the tissue does."""
    from scipy import ndimage

    from medgen.phantom.points import draw_pose

    common = np.diag([2.0, 2.0, 2.0, 1.0])
    common[:3, 3] = (-104.0, -130.0, -112.0)
    poses = [draw_pose(Streams(0, index)).to_world for index in range(8)]

    def carried(data, matrix, shape):
        return ndimage.affine_transform(
            data, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=1, cval=-1000.0
        )

    stack = []
    for case, pose in list(zip(cases, poses, strict=True))[:6]:
        ct = case.volumes["ct"]
        stack.append(
            carried(ct.data, np.linalg.inv(ct.grid.affine) @ pose @ common, (105, 125, 110))
        )
    average = np.median(stack, axis=0)
    for case, pose in list(zip(cases, poses, strict=True))[6:]:
        ct = case.volumes["ct"]
        back = np.linalg.inv(common) @ np.linalg.inv(pose) @ ct.grid.affine
        body = case.volumes["body"].data > 0
        error = float(np.abs(carried(average, back, ct.data.shape) - ct.data)[body].mean())
        floor = case.truth["ct"]["ct_tissue_floor_hu"]
        print(f"aligned median {error:.0f} HU, true tissue {floor:.0f} HU")
        assert error > 3.0 * floor
