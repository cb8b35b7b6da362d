"""Send DICOM files to a receiver by C-STORE (PS3.4 annex B), and say what became of each.

Files travel as the bytes they are: what their own headers say is proposed, nothing is transcoded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medgen.dicom.association import (
    MOST_KINDS,
    Association,
    Lost,
    Receiver,
    check_title,
    silence,
)
from medgen.dicom.outgoing import Outgoing, OutgoingFile, outgoing_files
from medgen.problems import ConfigurationError, Exit, NothingFound, Problem

CALLING = "MEDGEN"
TIMEOUT_SECONDS = 30.0
_MOST_LOSSES = 3
"""Files in a row that lose their association twice, before the rest is given up."""
_STATUS_CLASSES = {
    0x0117: "invalid instance",
    0x0122: "class not supported",
    0x0124: "not authorised",
    0x0210: "duplicate invocation",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
}
"""PS3.7 annex C; the ranges of PS3.4 section B.2.3 are in `_meaning`."""


@dataclass(frozen=True)
class Delivery:
    """What became of a folder's files."""

    files: int
    stored: int
    """With a warning or without."""
    warned: Mapping[int, int]
    """How many were stored with which warning status (0xB000 coercion, ...)."""
    failed: tuple[tuple[Path, Problem], ...] = field(repr=False)
    others: int
    associations: int
    paths: tuple[Path, ...] = field(default=(), repr=False)
    """All files, stored or failed, in the order of `outgoing_files`, which numbers them from 1."""

    def numbers(self) -> dict[Path, int]:
        """Return each file's number: paths hold names of patients, and numbers do not."""
        return {path: number for number, path in enumerate(self.paths, 1)}

    @property
    def exit_code(self) -> Exit:
        """Return OK, SOME_FAILED or ALL_FAILED."""
        if not self.failed:
            return Exit.OK
        return Exit.SOME_FAILED if self.stored else Exit.ALL_FAILED


def send(
    place: Path,
    receiver: Receiver,
    *,
    calling: str = CALLING,
    timeout: float = TIMEOUT_SECONDS,
    on_file: Callable[[int, int], None] = lambda done, total: None,
) -> Delivery:
    """Store the DICOM files in a folder and below it, or one file, at a receiver.

    Every association is verified by C-ECHO first. One that is lost is opened again once for the
    same file; a file that loses it twice has failed, and where it cannot be opened again, or three
    files in a row lost it, so have all that are left. `timeout` (s) is the time for an answer; a
    file's own time at 1 MB/s is added. `on_file` is told how many of how many files are done.

    Raises:
        NothingFound: E_MISSING_FILE, or E_NOTHING_FOUND where there is no DICOM file.
        ConfigurationError: E_AE_TITLE, E_TIMEOUT.
    """
    calling = check_title(calling)
    if not 0.0 < timeout < float("inf"):
        message = f"the time for an answer is above 0 s, got {timeout:g}"
        raise ConfigurationError(Problem("E_TIMEOUT", message, "for example --timeout 30"))
    listing = _listing(place)
    failed = list(listing.refused)
    warned: Counter[int] = Counter()
    total = len(listing.files) + len(failed)
    stored = associations = 0
    given_up: Problem | None = None
    with silence():
        for part in _parts(listing.files):
            kinds = sorted({file.kind for file in part})
            line = Association(receiver, kinds, calling=calling, timeout=timeout)
            for file, answer in _sent(part, line, given_up):
                if isinstance(answer, _GivenUp):
                    given_up = answer.problem
                    failed.append((file.path, answer.problem))
                elif isinstance(answer, Problem):
                    failed.append((file.path, answer))
                else:
                    stored += 1
                    warned.update([answer] if answer else [])
                on_file(stored + len(failed), total)
            associations += line.opened
    return Delivery(
        *(total, stored, dict(warned), tuple(failed), listing.others, associations, listing.paths),
    )


@dataclass(frozen=True)
class _GivenUp:
    """Why this file and all behind it are not sent."""

    problem: Problem


def _sent(
    files: Sequence[OutgoingFile], line: Association, given_up: Problem | None
) -> Iterator[tuple[OutgoingFile, int | Problem | _GivenUp]]:
    """Yield each file with the status it was stored with, or with what kept it from that."""
    losses = 0
    try:
        for file in files:
            if given_up is not None:
                yield file, _GivenUp(given_up)
                continue
            answer = _stored(file, line)
            losses = losses + 1 if answer == _LOST else 0
            if isinstance(answer, _GivenUp):
                given_up = answer.problem
            elif losses == _MOST_LOSSES:
                given_up = _LOST
                answer = _GivenUp(_LOST)
            yield file, answer
        line.close()
    finally:
        line.abort()


def _stored(file: OutgoingFile, line: Association) -> int | Problem | _GivenUp:
    """Send one file, a second time where the association is lost."""
    for _ in range(2):
        refused = line.open()
        if refused is not None:
            return _GivenUp(refused)
        try:
            answer = line.store(file)
        except Lost:
            continue
        if isinstance(answer, Problem) or answer == 0 or _is_warning(answer):
            return answer
        message = f"the receiver refused a file with status 0x{answer:04X}{_meaning(answer)}"
        return Problem("E_SEND_REFUSED", message, "ask the receiver's owner what it means")
    return _LOST


_LOST = Problem(
    "E_SEND_LOST",
    "the association was lost twice before the receiver answered",
    "send again; with a longer --timeout if the receiver is slow",
)


def _listing(place: Path) -> Outgoing:
    if not place.exists():
        advice = "check the path"
        raise NothingFound(Problem("E_MISSING_FILE", "there is no such file or folder", advice))
    listing = outgoing_files(place)
    if not listing.files and not listing.refused:
        message = f"there is no DICOM file among {listing.others} files"
        advice = "name a DICOM series, such as `convert --format dicom` writes"
        raise NothingFound(Problem("E_NOTHING_FOUND", message, advice))
    return listing


def _parts(files: Sequence[OutgoingFile]) -> list[list[OutgoingFile]]:
    """Divide files so that no part has more kinds than an association can negotiate."""
    kinds = sorted({file.kind for file in files})
    part_of = {kind: index // MOST_KINDS for index, kind in enumerate(kinds)}
    parts: dict[int, list[OutgoingFile]] = {}
    for file in files:
        parts.setdefault(part_of[file.kind], []).append(file)
    return [parts[number] for number in sorted(parts)]


def _is_warning(status: int) -> bool:
    return status >> 12 == 0xB or status in (0x0001, 0x0107, 0x0116)


def _meaning(status: int) -> str:
    """Return what a failure status says, by PS3.4 section B.2.3 and PS3.7 annex C."""
    if status >> 8 == 0xA7:
        return " (out of resources)"
    if status >> 8 == 0xA9:
        return " (the data set does not match its class)"
    if status >> 12 == 0xC:
        return " (cannot understand)"
    known = _STATUS_CLASSES.get(status)
    return f" ({known})" if known else ""
