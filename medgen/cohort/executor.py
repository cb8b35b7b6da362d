"""Who converts the cases of a cohort: threads of this process, or other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from medgen.cohort.cases import Job
from medgen.cohort.interruption import Interruption
from medgen.cohort.manifest import Entry
from medgen.cohort.outcome import Result, Watch


class Executor(Protocol):
    """Convert jobs, each by a `CaseWork`, and hand back what became of them."""

    def work(
        self,
        jobs: Sequence[Job],
        *,
        begin: Callable[[Job], None],
        before: Callable[[str], Entry | None],
        interruption: Interruption,
        watch: Watch,
    ) -> Iterator[tuple[Entry, Result]]:
        """Yield what the manifest shall say of each case, and what became of it.

        All of the arguments are called in the thread that asks for the next result, except for
        `watch.windows`, which any one thread may call.

        Args:
            jobs: what is to be converted.
            begin: to be called before anything of a job's outputs changes on the disk. A job for
                which it was called is in hand: its result is to be yielded, or, where the work is
                cut short, nothing of it may be half written.
            before: what the manifest says of a case; to be asked before `begin`.
            interruption: once it is `wanted` no other job is begun; those in hand may be finished
                or dropped, and then the iterator ends.
            watch: its `windows` may be called as a case goes on; its `case` is the caller's.
        """
        ...
