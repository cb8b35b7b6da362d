"""What a DICOM object is, by its SOP class: which can be volumes, and what the others are called.

The classes are those of PS3.4 annex B.5.
"""

from __future__ import annotations

_STORAGE = "1.2.840.10008.5.1.4.1.1."

_VOLUMES = {
    "2": "CT",
    "2.1": "CT",
    "2.2": "CT",
    "4": "MR",
    "4.1": "MR",
    "4.4": "MR",
    "128": "PT",
    "128.1": "PT",
    "130": "PT",
}
"""CT, MR and PET images: classic, enhanced and converted from classic ones."""

_NAMES = {
    "7": "secondary capture",
    "9": "waveform",
    "11": "presentation state",
    "4.2": "spectroscopy",
    "30": "parametric map",
    "66": "raw data",
    "66.1": "registration",
    "66.2": "fiducials",
    "66.3": "registration",
    "66.4": "segmentation",
    "66.5": "surface segmentation",
    "66.7": "segmentation",
    "68": "surface",
    "88": "report",
    "88.59": "key object selection",
    "104": "encapsulated document",
    "481": "radiotherapy object",
    "481.1": "radiotherapy image",
    "481.2": "dose",
    "481.3": "structure set",
    "481.5": "treatment plan",
    "481.8": "treatment plan",
}


def may_be_volume(sop_class: str, modality: str) -> bool:
    """Tell whether images of a class can make a volume; a blank class is judged by modality."""
    if not sop_class:
        return modality in _VOLUMES.values()
    return _within(sop_class) in _VOLUMES and modality in _VOLUMES.values()


def object_name(sop_class: str) -> str:
    """Return what to call an object that is no volume: `structure set`, `report`, ..."""
    parts = _within(sop_class).split(".")
    for length in range(len(parts), 0, -1):
        name = _NAMES.get(".".join(parts[:length]))
        if name:
            return name
    return "other object"


def _within(sop_class: str) -> str:
    return sop_class[len(_STORAGE) :] if sop_class.startswith(_STORAGE) else ""
