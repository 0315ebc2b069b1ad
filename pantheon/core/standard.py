"""What figures are enough for a reviewer's word to count."""

from pydantic import Field

from pantheon.core.model import Frozen


class Standard(Frozen):
    """The least that a calibration must show."""

    bad_cases: int = Field(default=100, ge=1)
    """Known-bad changes that were tried."""
    good_cases: int = Field(default=20, ge=1)
    """Known-good changes that were tried."""
    area: float = Field(default=0.7, ge=0.5, le=1)
    """Where the interval of the reviewer's ROC area begins."""
    false_accepts: float = Field(default=0.05, ge=0, le=1)
    """Where the interval of the false-accept rate of checks and reviewers together ends."""
