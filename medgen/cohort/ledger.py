"""What an output folder says of all its cases: manifest, scores and index, kept in step."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from medgen.cohort.index import write_index
from medgen.cohort.manifest import Entry, Manifest
from medgen.cohort.parts import Part, forget_others, merging, under_way
from medgen.cohort.scores import Scores
from medgen.conversion import Provenance
from medgen.files import writable


class Ledger:
    """The manifest to write to, the folder's own or a part's, and what is made anew from it."""

    def __init__(
        self, folder: Path, part: Part | None, cases: Collection[str], provenance: Provenance
    ) -> None:
        """Read what is known of the folder.

        Args:
            folder: where the answers are.
            part: the part that is being converted; None: all of it.
            cases: the sorted names of the cases of all parts.
            provenance: of the answers to come.

        Raises:
            ConfigurationError: E_MANIFEST_FOREIGN.
        """
        self._folder, self._part, self._cases = folder, part, tuple(cases)
        self._provenance = provenance
        self.manifest = Manifest(folder, part)

    def open(self, scores: Scores, *, todo: Collection[str]) -> None:
        """Make the manifest ready for lines, and take from the scores what is to be converted.

        No row outlives its answer, wherever the process may be killed.
        """
        with writable(), merging(self._folder, self._part):
            self._merge(scores, but=todo)
            if self._part is not None:
                self.manifest.begin()

    def begin(self, case: str) -> None:
        """Write down that a case is in hand; what is known of an earlier answer stays."""
        before = self.manifest.get(case)
        if before is None or not before.output_digest:
            weights, settings = self._provenance.weights_digest, self._provenance.settings_digest
            before = Entry(case, "started", weights_digest=weights, settings_digest=settings)
        self.add(
            replace(
                before, status="started", code="", seconds=0.0, warnings="", verdict="", reasons=""
            )
        )

    def add(self, entry: Entry) -> None:
        """Write down what became of a case."""
        with writable():
            self.manifest.add(entry)

    def close(self, scores: Scores, *, pictured: bool) -> None:
        """Bring manifest, scores and, where the folder has previews, the index up to date."""
        with writable(), merging(self._folder, self._part):
            manifest = self._merge(scores)
            if pictured:
                write_index(self._folder, manifest)

    def _merge(self, scores: Scores, *, but: Collection[str] = ()) -> Manifest:
        """Merge this part's lines, and those of parts that ended early, into the manifest."""
        manifest = self.manifest if self._part is None else Manifest(self._folder)
        manifest.tidy()
        # Nobody but its own process knows what a part that goes on is about to replace.
        others = [part for part in under_way(self._folder) if part != self._part]
        theirs = {case for part in others for case in part.share(self._cases)}
        forget_others(self._folder, self._part)
        scores.write(manifest, but=theirs.union(but))
        return manifest
