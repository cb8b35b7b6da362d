"""Convert a cohort on a Ray cluster: one actor per GPU, or per so many processor cores."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from time import sleep
from typing import Any

from medgen.cohort.cases import Job
from medgen.cohort.handing_out import HandingOut, WorkerDied
from medgen.cohort.interruption import Interruption
from medgen.cohort.manifest import Entry
from medgen.cohort.outcome import Result, Watch
from medgen.cohort.ray_connection import connected
from medgen.cohort.ray_worker import RayWorker
from medgen.cohort.recipe import Recipe, absolute_job
from medgen.problems import ConfigurationError, Problem

CORES_PER_WORKER = 4


@dataclass(frozen=True)
class Share:
    """What one worker takes of a machine."""

    cores: int
    gpu: bool = False

    def room(self, machines: Iterable[Mapping[str, float]]) -> int:
        """Return how many workers fit on machines of these resources (`CPU`, `GPU`)."""
        return sum(self._fitting(machine) for machine in machines)

    def _fitting(self, machine: Mapping[str, float]) -> int:
        fitting = int(machine.get("CPU", 0)) // self.cores
        return min(fitting, int(machine.get("GPU", 0))) if self.gpu else fitting


def share_of(
    machines: Sequence[Mapping[str, float]], *, cores_per_worker: int, use_gpus: bool | None = None
) -> Share:
    """Return what each worker takes, so that every GPU gets one, or at least one worker fits.

    Args:
        machines: the resources of each, as Ray names them (`CPU`, `GPU`).
        cores_per_worker: how many a worker takes where a machine has as many.
        use_gpus: None: where there are any. Processors are then left idle: their answers would
            differ from a GPU's in the last digits.

    Raises:
        ConfigurationError: E_NO_WORKERS, no machine has what a worker needs.
    """
    with_gpu = [machine for machine in machines if machine.get("GPU", 0) >= 1]
    gpu = bool(with_gpu) if use_gpus is None else use_gpus
    fitting = with_gpu if gpu else machines
    cores = [int(one.get("CPU", 0) / (one["GPU"] if gpu else 1)) for one in fitting]
    if gpu and cores:
        cores = [max(1, min(cores))]
    if max(cores, default=0) < 1:
        message = f"none of the cluster's {len(machines)} machines has a {'GPU' if gpu else 'core'}"
        advice = "start Ray on other machines, or give another --device"
        raise ConfigurationError(Problem("E_NO_WORKERS", message, advice))
    return Share(min(cores_per_worker, max(cores)), gpu)


@dataclass(frozen=True)
class RayExecutor:
    """Let a Ray cluster's actors convert; this process keeps the lock and the manifest.

    Runs, inputs and outputs must lie on a disk that all machines share, at the same paths.
    """

    recipe: Recipe
    address: str | None = None
    """`host:port` of a cluster that this machine is part of, `ray://host:port` of any; None: a
    cluster of this machine alone, which ends with the work."""
    cores_per_worker: int = CORES_PER_WORKER
    use_gpus: bool | None = None
    """None: where there are any."""

    def work(
        self,
        jobs: Sequence[Job],
        *,
        begin: Callable[[Job], None],
        before: Callable[[str], Entry | None],
        interruption: Interruption,
        watch: Watch,
    ) -> Iterator[tuple[Entry, Result]]:
        """Yield what became of each job, in the order in which they end.

        Raises:
            ConfigurationError: E_RAY_MISSING without the extra `ray`; E_RAY_ADDRESS where there is
                no cluster; E_RAY_LOST where it is gone; E_NO_WORKERS, E_WORKER_DIED, E_WORKER_RUN
                or E_WORKER_VERSION where it cannot do the work.
        """
        if not jobs:
            return
        with connected(self.address) as ray:
            share = share_of(
                machines_of(ray), cores_per_worker=self.cores_per_worker, use_gpus=self.use_gpus
            )
            handing_out = HandingOut(
                RayCrew(ray, self.recipe.absolute(), share),
                [absolute_job(job) for job in jobs],
                weights_digest=self.recipe.provenance.weights_digest,
                settings_digest=self.recipe.provenance.settings_digest,
            )
            errors = ray.exceptions
            try:
                with closing(handing_out.results(begin, before, interruption)) as results:
                    yield from results
            except (BrokenPipeError, errors.RayTaskError):  # of the caller, or of a worker
                raise
            except (ConnectionError, errors.RayError):
                message = "the connection to the Ray cluster was lost"
                advice = "see that the cluster runs, then run the same command to go on"
                raise ConfigurationError(Problem("E_RAY_LOST", message, advice)) from None


@dataclass(frozen=True)
class RayCrew:
    """Actors as a `Crew`."""

    ray: Any
    recipe: Recipe
    share: Share

    def room(self) -> int:
        """Return how many workers fit on the machines that are there now."""
        return self.share.room(machines_of(self.ray))

    def hire(self) -> tuple[Any, Hashable]:
        """Ask for an actor, which starts once a machine has room."""
        # Retries are counted by case, so Ray shall make none by itself.
        actor = self.ray.remote(
            num_cpus=self.share.cores,
            num_gpus=int(self.share.gpu),
            max_restarts=0,
            max_task_retries=0,
        )(RayWorker)
        worker = actor.remote(self.recipe, cores=self.share.cores, gpu=self.share.gpu)
        return worker, worker.ready.remote()

    def hand(self, worker: Any, job: Job, before: Entry | None) -> Hashable:
        """Let an actor convert a job."""
        call: Hashable = worker.convert.remote(job, before)
        return call

    def first(self, calls: Sequence[Hashable], seconds: float) -> Hashable | None:
        """Return a call that has ended, or None after so many seconds."""
        if not calls:  # Ray would return at once, and be asked again at once
            sleep(seconds)
            return None
        ended, _ = self.ray.wait(list(calls), num_returns=1, timeout=seconds)
        return ended[0] if ended else None

    def answer(self, call: Hashable) -> Any:
        """Return what an ended call answered.

        Raises:
            WorkerDied: the actor, its machine, or what it answered is lost.
        """
        errors = self.ray.exceptions
        try:
            return self.ray.get(call)
        except errors.RayTaskError:
            raise
        except errors.RayError:
            raise WorkerDied from None

    def dismiss(self, worker: Any) -> None:
        """End an actor."""
        self.ray.kill(worker)


def machines_of(ray: Any) -> list[Mapping[str, float]]:
    """Return the resources of each machine of the cluster that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
