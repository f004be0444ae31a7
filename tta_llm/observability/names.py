"""The names of spans' attributes and of metrics, in one place because conventions move."""

from __future__ import annotations

PRIMITIVE = "tta.primitive"
"""The class of the primitive that a span covers."""
CORRELATION_ID = "tta.correlation_id"
WORKFLOW_ID = "tta.workflow_id"
CANCELLED = "tta.cancelled"
"""True on a span whose step was stopped from outside; that is no error of the step."""
ERROR_TYPE = "error.type"
EXCEPTION = "exception"
"""The event on the span of the step that raised an error, with the next four."""
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
"""Only where the application asks for contents."""
CODE_FUNCTION = "code.function.name"
CODE_LINE = "code.line.number"
PRIMITIVE_NAME = "tta.step"
"""The primitive's name, where the span's own is another, as that of a model call."""
PATH = "tta.path"
"""Where an error arose, such as `answer/step 3 of 4 'rerank'`."""
ATTEMPT = "tta.attempt"
"""Which try it is, from 1, on a span that is one of several."""
BUDGET_LEFT_USD = "tta.budget.left_usd"
BUDGET_LEFT_TOKENS = "tta.budget.left_tokens"
BUDGET_LEFT_CALLS = "tta.budget.left_calls"
DEADLINE_LEFT = "tta.deadline.left_seconds"
COST = "tta.cost_usd"
"""What a call cost."""
COST_UNKNOWN = "tta.cost_unknown"
"""True where nobody knows the price."""
ESTIMATED = "tta.usage_estimated"
"""True where the tokens are a guess, for the provider did not tell them."""
SAVED_USD = "tta.saved_usd"
"""What the answer that a cache gave had cost when it was computed."""
SAVED_SECONDS = "tta.saved_seconds"
"""How long that had taken."""
ROUTE_SAVED_USD = "tta.route.saved_usd"
"""What the dearest route's model would have cost for the same tokens, less what was paid."""
PROMPT_NAME = "tta.prompt.name"
"""Which template a prompt was made of."""
PROMPT_VERSION = "tta.prompt.version"
"""A hash of the template's texts."""
AGENT_STEPS = "tta.agent.steps"
"""How often an agent asked its model."""
AGENT_CALLS = "tta.agent.tool_calls"
"""How many tools it called."""
AGENT_STOPPED = "tta.agent.stopped_by"
"""Which limit ended its run, or `confirmation`."""
AGENT_RUN = "tta.agent.run_id"
"""By which name its run can be taken up."""
PROMPT_NAME = "tta.prompt.name"
"""Which template a prompt was made of."""
PROMPT_VERSION = "tta.prompt.version"
"""A hash of the template's texts."""
OUTLINE = "tta.outline"
"""The workflow as JSON, on the first span of a run."""
VERSION = "tta.version"
"""The version of this package, on the first span of a run."""

STEP = "step"
BRANCH = "branch"
CHOICE = "tta.choice"
"""Which choice of a fallback answered, or which route, arm or tier is taken: its name."""
SCORE = "tta.route.score"
"""How difficult a prompt is to a router, from 0 to 1."""
REASONS = "tta.route.reasons"
"""Why it is."""
AIMED = "tta.route.aimed"
"""The route that the score asks for."""
IMPOSSIBLE = "tta.route.impossible"
"""Which routes can't be taken, each with why."""
EVENT = "event"
"""What a part of the recovery did, such as `retry`."""
TARGET = "target"
"""What it did it about: the name of a step, such as `openai:gpt-4.1`."""
CACHE = "tta.cache"
"""How a cache answered: `hit`, `stale`, `coalesced` or `miss`."""
CACHE_SCORE = "tta.cache_score"
"""How near the nearest question that a cache remembers comes: a cosine, at most 1."""
MODEL = "model"
"""The model that a counter is about, as its provider names it."""
PROVIDER = "provider"
"""Who answers, as a ChatModel or an Embedder names it."""
LIMITER = "limiter"
"""What made a call wait: `rate` or `concurrency`."""
ROUTE = "choice"
"""Which route a router took."""
CACHE_ANSWERS = ("hit", "stale", "coalesced", "miss")

GAUGES = {
    "circuit_breaker_state": "0 closed, 1 half open, 2 open",
    "circuit_breaker_failure_rate": "Share of the latest calls that failed",
    "circuit_breaker_slow_rate": "Share of the latest calls that were slow",
    "rate_limit_requests_available": "Requests that may be sent at once",
    "rate_limit_tokens_available": "Tokens that may be sent at once",
    "rate_limit_waiting": "Calls that wait for their turn",
    "rate_limit_paused_seconds": "How long the provider asked to be left alone",
    "concurrency_in_use": "Calls under way",
    "concurrency_waiting": "Calls that wait for their turn",
    "retry_budget_available": "Retries and hedges that may be made at once",
    "held_out_seconds": "How long a choice is left out after a failure that lasts",
    "load_under_way": "Calls under way",
    "load_latency_seconds": "How long calls take, or the first piece of a stream",
    "cache_entries": "Results that a cache holds in memory",
    "cache_bytes": "Memory that they take, roughly",
}
"""What a guard or a cache may tell about itself, by the name of its metric."""
ADDED_UP = frozenset(
    {
        "rate_limit_requests_available",
        "rate_limit_tokens_available",
        "rate_limit_waiting",
        "concurrency_in_use",
        "concurrency_waiting",
        "load_under_way",
        "retry_budget_available",
        "cache_entries",
        "cache_bytes",
    }
)
"""Those whose figures add up when several guards are about targets of one name."""

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
