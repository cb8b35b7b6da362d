"""Pictures of cuts as pixels, with text: for what is drawn once per case of a large cohort.

A figure of matplotlib takes most of a second; the same picture takes a tenth of it here.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, to_rgb
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from medgen.report.sheet import BACKGROUND, FAINT, INK, Look

WRITER = "medgen convert"
"""What the pictures say of who wrote them (PNG's keyword Software)."""
_SHADES = 256


class Canvas:
    """A dark picture to be filled from the top left, in pixels."""

    def __init__(self, width: int, height: int) -> None:
        self._image = Image.new("RGB", (width, height), BACKGROUND)
        self._pen = ImageDraw.Draw(self._image)

    def text(
        self,
        at: tuple[float, float],
        text: str,
        *,
        size: int = 12,
        colour: str = INK,
        anchor: str = "la",
        bold: bool = False,
    ) -> None:
        """Write one line; `anchor` is Pillow's, such as "la": left and ascender."""
        self._pen.text(at, text, fill=colour, font=font(size, bold=bold), anchor=anchor)

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        """Fill a box."""
        self._pen.rectangle((left, top, right, bottom), fill=colour)

    def picture(self, pixels: NDArray[np.uint8], box: tuple[int, int, int, int]) -> None:
        """Put colours (rows, columns, 3) into a box (left, top, right, bottom), scaled to it."""
        left, top, right, bottom = box
        size = (right - left, bottom - top)
        image = Image.fromarray(pixels)
        self._image.paste(image.resize(size, Image.Resampling.BILINEAR), (left, top))

    def bar(self, box: tuple[int, int, int, int], look: Look, ticks: list[float]) -> None:
        """Draw an upright colour bar, its values at its right."""
        left, top, right, bottom = box
        self._image.paste(
            Image.fromarray(np.ascontiguousarray(_shades(look.colours)[::-1, None])).resize(
                (right - left, bottom - top), Image.Resampling.BILINEAR
            ),
            (left, top),
        )
        self._pen.rectangle((left, top, right - 1, bottom - 1), outline=FAINT)
        for value in ticks:
            share = (value - look.low) / (look.high - look.low)
            y = bottom - share * (bottom - top)
            self._pen.line((right, y, right + 3, y), fill=INK)
            label = f"{value:.4g}".replace("-", "−")
            self.text((right + 6, y), label, size=10, anchor="lm")

    def png(self) -> bytes:
        """Return PNG bytes that depend on nothing but the picture."""
        stream, note = io.BytesIO(), PngInfo()
        note.add_text("Software", WRITER)
        self._image.save(stream, format="PNG", pnginfo=note, compress_level=4)
        return stream.getvalue()


def is_own(png: bytes) -> bool:
    """Tell by the first bytes of a file whether it is a picture that was written here."""
    return png.startswith(b"\x89PNG\r\n\x1a\n") and f"Software\0{WRITER}".encode() in png


def coloured(pixels: NDArray[Any], look: Look) -> NDArray[np.uint8]:
    """Return the colours (rows, columns, 3) of values (rows, columns); NaN counts as the least."""
    share = (np.asarray(pixels, dtype=np.float32) - look.low) / (look.high - look.low)
    places = np.nan_to_num(np.clip(share, 0.0, 1.0), nan=0.0) * (_SHADES - 1) + 0.5
    return np.asarray(_shades(look.colours)[places.astype(np.uint8)])


def painted(
    under: NDArray[np.uint8], labels: NDArray[Any], colours: dict[int, str], opacity: float
) -> NDArray[np.uint8]:
    """Return a coloured picture with labels (rows, columns) over it; other values stay clear."""
    result = under.astype(np.float32)
    for value, colour in colours.items():
        inside = labels == value
        result[inside] += opacity * (255 * np.array(to_rgb(colour)) - result[inside])
    return np.asarray(np.round(result), dtype=np.uint8)


def wrapped(text: str, width: float, size: int) -> list[str]:
    """Break a text into lines of at most `width` pixels; a longer word is broken too."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while font(size).getlength(word) > width and len(word) > 1:
            fits = next(
                (n for n in range(len(word) - 1, 1, -1) if font(size).getlength(word[:n]) <= width),
                1,
            )
            lines, line = [*lines, *([line] if line else []), word[:fits]], ""
            word = word[fits:]
        longer = f"{line} {word}" if line else word
        if line and font(size).getlength(longer) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line] if line else lines


@lru_cache(maxsize=16)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the typeface of all figures, in a size in pixels."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", name), size)


def _shades(colours: Colormap) -> NDArray[np.uint8]:
    return np.asarray(np.round(255 * colours(np.linspace(0, 1, _SHADES))[:, :3]), dtype=np.uint8)
