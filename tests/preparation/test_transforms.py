"""What SimpleITK reads back carries points where medgen's own matrix and displacement do."""

import json
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medgen.preparation.aligning import Motion
from medgen.preparation.transforms import write_transform
from medgen.registration import Deformation
from medgen.volumes import Grid

FLIP = np.array([-1.0, -1.0, 1.0])


def matrix_of(degrees: list[float], shift: list[float], stretch: float) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, :3] @= np.diag([stretch, 1.0, 1 / stretch])
    matrix[:3, 3] = shift
    return matrix


def oblique() -> Grid:
    affine = matrix_of([10, -20, 30], [-30, -20, -10], 1.0) @ np.diag([2.0, -2.5, 3.0, 1.0])
    return Grid((12, 10, 8), affine)


@settings(max_examples=20)
@given(
    st.lists(st.floats(-90, 90), min_size=3, max_size=3),
    st.lists(st.floats(-50, 50), min_size=3, max_size=3),
    st.floats(0.7, 1.4),
)
def test_itk_reads_the_same_map(
    tmp_path_factory: object, degrees: list[float], shift: list[float], stretch: float
) -> None:
    folder = tmp_path_factory.mktemp("transform")  # type: ignore[attr-defined]
    matrix = matrix_of(degrees, shift, stretch)
    names = write_transform(folder, "flair", "t1", Motion(matrix), oblique())
    assert names == ("flair_to_t1.json", "flair_to_t1.tfm")
    content = json.loads((folder / names[0]).read_text())
    there, back = (np.array(content[key]) for key in ("flair_to_t1", "t1_to_flair"))
    assert np.allclose(there, matrix)
    assert np.allclose(there @ back, np.eye(4))
    transform = sitk.ReadTransform(str(folder / names[1]))
    for point in np.array([[0.0, 0, 0], [30, -40, 50], [-7, 11, 13]]):
        ours = back[:3, :3] @ point + back[:3, 3]
        theirs = FLIP * transform.TransformPoint((FLIP * point).tolist())
        assert np.allclose(theirs, ours, atol=1e-9)


def test_itk_reads_the_whole_deformation(tmp_path: Path) -> None:
    grid, matrix = oblique(), matrix_of([3, 5, -8], [4, -6, 9], 1.05)
    field = np.random.default_rng(0).normal(0, 20, (*grid.shape, 3))
    field = ndimage.gaussian_filter(field, [2, 2, 2, 0]).astype(np.float32)
    motion = Motion(matrix, Deformation(field, 0.0, 5.0))
    names = write_transform(tmp_path, "ct", "mr", motion, grid)
    assert names == ("ct_to_mr.json", "ct_to_mr_warp.nii.gz")
    assert json.loads((tmp_path / names[0]).read_text())["deformable"] is True
    header = nibabel.load(tmp_path / names[1]).header
    assert (header["dim"][0], header["dim"][5], int(header["intent_code"])) == (5, 3, 1007)
    image = sitk.Cast(sitk.ReadImage(str(tmp_path / names[1])), sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(image)
    for index in ((3, 4, 5), (1, 8, 2), (10, 1, 6)):
        point = grid.to_world(np.array(index))
        ours = np.linalg.inv(matrix) @ [*(point + field[index]), 1.0]
        theirs = FLIP * transform.TransformPoint((FLIP * point).tolist())
        assert np.allclose(theirs, ours[:3], atol=1e-4)
