"""What single values of a configuration may be, and the block that every other one is made from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _no_switch(value: Any) -> Any:
    """Refuse `steps: yes`, which would otherwise mean one step."""
    if isinstance(value, bool):
        raise ValueError(f"should be a number, not {'yes' if value else 'no'}")
    return value


Number = Annotated[float, BeforeValidator(_no_switch)]
Whole = Annotated[int, BeforeValidator(_no_switch)]
Fraction = Annotated[Number, Field(ge=0.0, le=1.0)]
Percentile = Annotated[Number, Field(ge=0.0, le=100.0)]
Millimetres = Annotated[Number, Field(gt=0.0)]
Millilitres = Annotated[Number, Field(gt=0.0)]
Voxels = Annotated[Whole, Field(gt=0)]


class Strict(BaseModel):
    """A block that refuses unknown keys and non-finite numbers, and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
