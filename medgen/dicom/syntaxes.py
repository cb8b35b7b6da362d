"""The transfer syntaxes that are decoded: how pixels are laid down in bytes (PS3.5 section 10)."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pydicom.uid import JPEG2000 as JPEG2000Lossy

from medgen.dicom.values import text_of
from medgen.problems import Problem

NATIVE = frozenset(
    (
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    )
)
JPEG = frozenset((JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1))
JPEG_LS = frozenset((JPEGLSLossless, JPEGLSNearLossless))
JPEG_2000 = frozenset((JPEG2000Lossless, JPEG2000Lossy, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K))
RLE = frozenset((RLELossless,))
COMPRESSED = JPEG | JPEG_LS | JPEG_2000 | RLE
_ALWAYS_LOSSY = frozenset((JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless))

_RECOMPRESS = "export it uncompressed, or decompress it with another program first"


def syntax_of(header: Dataset) -> UID:
    """Return the transfer syntax of a header; by its encoding where the file names none.

    Files without a File Meta Information (PS3.10 section 7.1) exist; pydicom has then found out
    how their attributes are encoded, and their pixels are native.
    """
    meta = getattr(header, "file_meta", None)
    stated = meta.get("TransferSyntaxUID") if meta is not None else None
    if stated:
        return UID(str(stated))
    implicit, little = header.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little in (True, None) else ExplicitVRBigEndian


def syntax_name(syntax: UID) -> str:
    """Return a transfer syntax's name, or "an unknown one": a UID is never quoted."""
    return syntax.name if syntax.type == "Transfer Syntax" else "an unknown one"


def syntax_problems(header: Dataset) -> list[Problem]:
    """Return E_TRANSFER_SYNTAX where a file's pixels cannot be decoded, whatever they hold."""
    syntax = syntax_of(header)
    if (
        syntax in NATIVE
        or syntax in RLE
        or (syntax in COMPRESSED and get_decoder(syntax).is_available)
    ):
        return []
    message = f"its transfer syntax is {syntax_name(syntax)}, which medgen does not decode"
    return [Problem("E_TRANSFER_SYNTAX", message, _RECOMPRESS)]


def is_lossy(header: Dataset) -> bool:
    """Tell whether the values are known not to be those measured (PS3.3 C.7.6.1.1.5)."""
    return text_of(header, "LossyImageCompression") == "01" or syntax_of(header) in _ALWAYS_LOSSY
