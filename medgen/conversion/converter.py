"""A case in memory: volumes in, the method's answer on the first source's own grid out."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch

from medgen.calibration import Calibration
from medgen.config import ConvertConfig
from medgen.conversion.anomaly import Anomaly
from medgen.conversion.anomaly_decoder import BESIDE, AnomalyDecoder
from medgen.conversion.decoders import decoder_of
from medgen.conversion.decoding import Keep
from medgen.conversion.ensemble import Member, answer_together, check_spread, ready_for
from medgen.conversion.judge import Judge, judge_image, trust_of
from medgen.conversion.monitor import Monitor
from medgen.conversion.progress import Progress, share_of, timed
from medgen.conversion.stages import Answered, Converted, Ready, Waiting
from medgen.conversion.uncertainty import DEVIATION, Sampling, deviation_of
from medgen.conversion.windows import Windowed, Windows
from medgen.data import PreparedSource, Preprocessing, with_rim
from medgen.data.position import body_box
from medgen.method import Answer, Method
from medgen.problems import ConfigurationError, Problem
from medgen.volumes import Volume


class Converter:
    """Turn a case's source volumes into a method's answer.

    Training's validation and `convert` both call it, so that the two cannot drift. The method is
    taken as it is: on `device`, in eval mode, with the weights to use. `preprocessing` goes the way
    of the `answer`, the method's first where left out; a `monitor` judges every image, a `judge`
    holds every case against the training cases. Lesions are
    listed only where `lists_lesions` asks for it: validation has no use for them.

    The other `members` of an ensemble answer too, and the answer is the mean; everything else, as
    what is judged and filled, goes by this one's settings. `uncertainty` says what is asked again
    for a map of standard deviations beside the answer, which itself stays as it is.

    Raises:
        ConfigurationError: E_USAGE, E_ENSEMBLE; see `check_spread`.
    """

    def __init__(
        self,
        method: Method,
        preprocessing: Preprocessing,
        settings: ConvertConfig,
        *,
        device: torch.device,
        precision: Literal["bf16", "fp32"],
        patch: tuple[int, int, int],
        answer: str | None = None,
        monitor: Monitor | None = None,
        judge: Judge | None = None,
        upstream: Converter | None = None,
        lists_lesions: bool = False,
        calibration: Calibration | None = None,
        limit_bytes: int | None = None,
        uncertainty: Sampling | None = None,
        members: Sequence[Converter] = (),
    ) -> None:
        self.method = method
        self.answer = next(iter(method.answers)) if answer is None else answer
        self.monitor = monitor
        self.judge = judge
        there = preprocessing.device == str(device)
        self.preprocessing = preprocessing if there else replace(preprocessing, device=str(device))
        self.settings = settings
        self.device = device
        self.precision = precision
        self.windows = Windows(method, self.answer, settings, device, precision, patch, limit_bytes)
        self.upstream = upstream
        """In a chain, what answers the stage before, where its answer is not given."""
        self._lists_lesions = lists_lesions
        self.calibration = calibration
        """What healthy cases' anomalies were like; without it there is a map and no judgement."""
        self.uncertainty = uncertainty
        self.members = tuple(members)
        if self.members or uncertainty is not None:
            check_spread(self)

    @property
    def entry(self) -> Preprocessing:
        """Return the preprocessing that meets the volumes first."""
        return self.preprocessing if self.upstream is None else self.upstream.entry

    @property
    def lesions(self) -> tuple[str, ...]:
        """Return the classes whose connected parts are listed beside a label map."""
        listed = self._lists_lesions and self.wanted().kind == "labels"
        return self.settings.lesions if listed else ()

    @property
    def beside(self) -> tuple[str, ...]:
        """Return what else is written of a case, by what follows its name."""
        judged = self.calibration is not None and self.wanted().kind == "anomaly"
        spread = () if self.uncertainty is None else (DEVIATION,)
        return (*(BESIDE if judged else ()), *spread)

    @property
    def stages(self) -> int:
        """Return how many networks answer in a row."""
        return 1 if self.upstream is None else 1 + self.upstream.stages

    def wanted(self) -> Answer:
        """Return the description of the answer.

        Raises:
            ConfigurationError: E_ANSWER, the method has no such answer, or it cannot be converted.
        """
        known, name = self.method.answers, self.answer
        if name not in known:
            advice = f"known: {', '.join(known)}"
            raise ConfigurationError(Problem("E_ANSWER", f"there is no answer {name!r}", advice))
        answer = known[name]
        whole = {
            "image": len(self.preprocessing.target_columns) == 1,
            "labels": answer.target == "label" and self.preprocessing.classes.count > 1,
            "anomaly": True,
        }
        if not whole.get(answer.kind, False):
            message = f"answer {name!r} is neither an image of one column nor a label map"
            raise ConfigurationError(Problem("E_ANSWER", message, "convert one of the others"))
        return answer

    def anomaly_of(
        self, volumes: Mapping[str, Volume], *, progress: Progress | None = None
    ) -> Anomaly:
        """Return what is unusual in a case as the calibration sees it: on the working grid.

        Raises:
            Refusal: the volumes cannot be prepared, or the method's answer is not finite.
        """
        ready = self._readied(volumes)
        assert isinstance(ready.decoder, AnomalyDecoder)
        windowed = self._windowed(ready, progress)
        return ready.decoder.measure(windowed.encoded.numpy(), ready.prepared)

    def __call__(
        self,
        volumes: Mapping[str, Volume],
        *,
        progress: Progress | None = None,
    ) -> Converted:
        """Convert one case: make it ready, answer it, restore it.

        Args:
            volumes: the source columns' volumes; others are ignored, but for the answer that a
                chain's stage before has given to them.
            progress: see `Progress`.

        Raises:
            ConfigurationError: the answer or the window cannot be had from this method.
            Refusal: the volumes cannot be prepared, or the method's answer is not finite.
        """
        return self.restore(self.infer(self.ready(volumes), progress=progress))

    def ready(self, volumes: Mapping[str, Volume]) -> Ready | Waiting:
        """Prepare a case on the processor; safe beside the other stages of other cases.

        Raises:
            ConfigurationError: the answer or the window cannot be had from this method.
            Refusal: the volumes cannot be prepared.
        """
        self.wanted()
        if self.upstream is not None and not volumes.keys() >= set(self.preprocessing.inputs):
            found: Ready | Waiting = Waiting(self.upstream.ready(volumes), volumes)
        else:
            found = self._readied(volumes)
        others = tuple(ready_for(member, volumes, self, found) for member in self.members)
        return replace(found, members=others)

    def _readied(
        self, volumes: Mapping[str, Volume], before: Mapping[str, Any] = MappingProxyType({})
    ) -> Ready:
        seconds: dict[str, float] = {}
        with timed(seconds, "prepare"):
            prepared = self.preprocessing.prepare_source(volumes)
            decoder = decoder_of(
                self.wanted(),
                self.preprocessing,
                prepared,
                self.settings,
                lesions=self.lesions,
                calibration=self.calibration,
            )
            keep = self._keep(prepared)
            source = prepared.source
            if self.method.located:
                body = with_rim(prepared.body, spacing_mm=prepared.grid.spacing_mm)
                source = np.concatenate([source, body_box(body).maps(source.shape[1:])])
            self.windows.tiling(source.shape[1:])  # refuses a window before the device is asked
            ready = Ready(prepared, decoder, source, keep, volumes, seconds, before)
            return ready if self.judge is None else self.judge.looked(ready, self.preprocessing)

    def infer(self, ready: Ready | Waiting, *, progress: Progress | None = None) -> Answered:
        """Answer a case on the device; one at a time.

        Raises:
            Refusal: of a chain, the volumes cannot be prepared for a later stage.
        """
        if any(one.method.training for one in (self, *self.members)):
            raise ValueError("the method to convert with is in training mode")
        seconds: dict[str, float] = {}
        case = self.settled(ready, seconds, progress)
        if self.upstream is not None and isinstance(ready, Waiting):
            progress = share_of(progress, self.upstream.stages, 1)
        with timed(seconds, "infer"):
            its_own = zip(self.members, ready.members, strict=True)
            others = [one.member(one.settled(its, {})) for one, its in its_own]
            every = [self.member(case), *others]
            found = answer_together(every, keep=case.keep, digests=case.digests, progress=progress)
        return Answered(case, found.windowed, {**seconds, **case.seconds}, *found[1:])

    def settled(
        self,
        ready: Ready | Waiting,
        seconds: MutableMapping[str, float],
        progress: Progress | None = None,
    ) -> Ready:
        """Return a case that waits for no stage before, whose seconds are written down if it does.

        Raises:
            Refusal: the volumes cannot be prepared for a later stage.
        """
        if not isinstance(ready, Waiting):
            return ready
        assert self.upstream is not None
        with timed(seconds, "stages_before"):
            share = share_of(progress, 0, self.upstream.stages)
            fed = self.upstream.restore(self.upstream.infer(ready.before, progress=share))
        (column,) = set(self.preprocessing.inputs) - set(self.preprocessing.source_columns)
        return self._readied({**ready.volumes, column: fed.volume}, fed.facts)

    def member(self, ready: Ready) -> Member:
        """Return this run as a member of an ensemble, which may be of one."""
        return Member(self.windows, ready.source, ready.decoder, self.uncertainty)

    def restore(self, answered: Answered) -> Converted:
        """Bring an answer back to the source's grid, on the processor; safe beside other stages.

        Raises:
            Refusal: the method's answer is not finite.
        """
        ready, windowed, seconds = answered.ready, answered.windowed, dict(answered.seconds)
        prepared, decoder, encoded = ready.prepared, ready.decoder, windowed.encoded
        with timed(seconds, "restore"):
            # Before decoding, which fills what is outside.
            judged, trust = judge_image(self.monitor, self.judge, windowed, ready)
            decoded = decoder.decode(encoded.numpy(), ready.keep, prepared)
            spread = deviation_of(answered, self.preprocessing)
        body_fraction = float(prepared.body_native.mean())
        trust = trust_of(ready, trust, body_fraction, self.judge, decoded.facts)
        facts = {
            "answer": self.answer,
            "kind": self.wanted().kind,
            "unit": decoder.unit,
            **decoded.facts,
            "window": list(windowed.tiling.window),
            "windows": len(windowed.tiling) - windowed.skipped,
            "windows_skipped": windowed.skipped,
            **({"stages": self.stages} if self.upstream is not None else {}),
            **({"members": 1 + len(self.members)} if self.members else {}),
            **spread.facts,
            **({"monitor": judged.as_json()} if judged else {}),
            "spacing_mm": [round(float(mm), 6) for mm in prepared.native.spacing_mm],
            "run_spacing_mm": [round(float(mm), 6) for mm in prepared.grid.spacing_mm],
            "body_fraction": round(body_fraction, 4),
            "trust": trust.as_json(),
            "device": self.device.type,
            "precision": self.precision,
            "seconds": {phase: round(duration, 3) for phase, duration in seconds.items()},
            "warnings": list(
                dict.fromkeys(
                    (
                        *ready.before.get("warnings", ()),
                        *prepared.warnings,
                        *windowed.spared,
                        *answered.warnings,
                    )
                )
            ),
        }
        volume = Volume(decoded.data, prepared.native, decoder.unit)
        return Converted(volume, facts, decoded.lesions, {**decoded.beside, **spread.beside}, trust)

    def _keep(self, prepared: PreparedSource) -> Keep:
        """Return the voxels (X, Y, Z) to answer; the others become background. None: all."""
        if not self.settings.fill_outside_body:
            return None
        return with_rim(prepared.body, spacing_mm=prepared.grid.spacing_mm)

    def _windowed(self, ready: Ready, progress: Progress | None) -> Windowed:
        return self.windows(
            ready.source,
            background=ready.decoder.background,
            keep=ready.keep,
            progress=progress,
        )
