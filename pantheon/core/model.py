"""The base of every frozen model."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: immutable, hashable where its fields are, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
