"""Which files are volumes, and what they are called."""

from __future__ import annotations

from pathlib import Path

from medgen.problems import NothingFound, Problem

SUFFIXES: tuple[str, ...] = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr")


def suffix_of(path: Path) -> str:
    """Return the volume suffix of a file name in lower case, or "" where it has none."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def volume_name(path: Path) -> str:
    """Return the file's name less its volume suffix (`a.b.nii.gz` -> `a.b`); a folder's name."""
    suffix = suffix_of(path)
    return path.name[: -len(suffix)] if suffix else path.name


def list_volumes(path: Path) -> list[Path]:
    """List a file, or the volume files directly inside a folder, sorted by name.

    Hidden files are skipped, and with them the temporary files of an interrupted write. A folder
    without volumes gives an empty list. Raises NothingFound E_MISSING_FILE.
    """
    if path.is_dir():
        files = [entry for entry in path.iterdir() if _is_volume(entry)]
        return sorted(files, key=lambda entry: entry.name)
    if path.is_file():
        return [path]
    raise NothingFound(
        Problem("E_MISSING_FILE", "there is no such file or folder", "check the spelling")
    )


def _is_volume(path: Path) -> bool:
    return not path.name.startswith(".") and bool(suffix_of(path)) and path.is_file()
