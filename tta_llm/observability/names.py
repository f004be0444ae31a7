"""The names of spans' attributes and of metrics, in one place because conventions move."""

from __future__ import annotations

PRIMITIVE = "tta.primitive"
"""The class of the primitive that a span covers."""
CORRELATION_ID = "tta.correlation_id"
WORKFLOW_ID = "tta.workflow_id"
CANCELLED = "tta.cancelled"
"""True on a span whose step was stopped from outside; that is no error of the step."""
ERROR_TYPE = "error.type"

STEP = "step"
BRANCH = "branch"

# Seconds. OpenTelemetry's own default boundaries are meant for milliseconds; a step here takes
# anything between a dictionary look-up and a minute of a model's time.
SECONDS_BUCKETS = (
    0.0001,
    0.001,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    120,
)
