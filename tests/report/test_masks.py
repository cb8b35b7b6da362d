import io

import numpy as np
from matplotlib import image as pictures

from medgen.report.masks import COLOURS, mask_sheet


def test_each_mask_is_outlined_in_its_colour_in_every_plane() -> None:
    shape = (30, 50, 24)
    places = np.stack(np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in shape), indexing="ij"))
    radius = np.sqrt((places**2).sum(axis=0))
    png = mask_sheet(
        np.where(radius < 1, 10.0, 0.0),
        {"body": radius < 1, "brain": radius < 0.6, "none": radius < 0},
        spacing_mm=(6.0, 4.0, 7.0),
        centre_on="brain",
        title="on t1",
    )
    found = np.rint(pictures.imread(io.BytesIO(png))[..., :3] * 255).astype(int)
    panels = np.array_split(found[80:-80], 3, axis=1)
    blue = [int(COLOURS[1][i : i + 2], 16) for i in (1, 3, 5)]
    for panel in panels:
        toned = (panel[..., 2] - panel[..., 0] > 40) & (panel[..., 1] > panel[..., 0])
        assert toned.sum() > 50, blue
