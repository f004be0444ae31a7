"""The names of the GenAI conventions, in one module because they move: two releases of them.

Attributes of spans are called the same in both; metrics are not, see `Profile`. The constants of
opentelemetry-semantic-conventions are deprecated, so these are strings of our own, which a test
compares with those.
"""

from __future__ import annotations

import os
from typing import NamedTuple

CHAT = "chat"
EMBEDDINGS = "embeddings"
EXECUTE_TOOL = "execute_tool"
INVOKE_AGENT = "invoke_agent"
RERANK = "rerank"
"""The conventions have no such operation, so it has no metrics of theirs."""

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
MODEL = "gen_ai.request.model"
STREAM = "gen_ai.request.stream"
MAX_TOKENS = "gen_ai.request.max_tokens"
TEMPERATURE = "gen_ai.request.temperature"
TOP_P = "gen_ai.request.top_p"
STOP = "gen_ai.request.stop_sequences"
SEED = "gen_ai.request.seed"
TOP_K = "gen_ai.request.top_k"
FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty"
PRESENCE_PENALTY = "gen_ai.request.presence_penalty"
CHOICES = "gen_ai.request.choice.count"
REASONING = "gen_ai.request.reasoning.level"
OUTPUT_TYPE = "gen_ai.output.type"
DIMENSIONS = "gen_ai.embeddings.dimension.count"
CONVERSATION = "gen_ai.conversation.id"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
SYSTEM = "gen_ai.system_instructions"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - no password
MODALITY = "gen_ai.token.modality"
DETAILS = "gen_ai.client.inference.operation.details"
"""The event that holds contents."""
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_DESCRIPTION = "gen_ai.tool.description"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
AGENT_NAME = "gen_ai.agent.name"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

PROVIDERS = {
    "azure": "azure.ai.openai",
    "google": "gcp.gen_ai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""What the conventions call providers that we call something else."""

CALL_SECONDS_BUCKETS: tuple[float, ...] = tuple(round(0.01 * 2**power, 2) for power in range(14))
"""The conventions' own: 10 ms to 82 s."""
TOKEN_BUCKETS: tuple[int, ...] = tuple(4**power for power in range(14))
"""The conventions' own: 1 to 67 million."""


class TokenMetric(NamedTuple):
    """A metric of tokens, and which of them it counts.

    Args:
        name: The metric.
        counts: The field of `Usage`.
        is_histogram: Whether it shows how calls differ, or only adds up.
        token_type: What the conventions' attribute for the kind of token says, where they have one.
    """

    name: str
    counts: str
    is_histogram: bool
    token_type: str | None = None


class Profile(NamedTuple):
    """What one release of the GenAI conventions calls what others call differently: metrics.

    Args:
        durations: The metrics of how long calls take, by operation.
        tokens: Those of the tokens that they use, by operation.
        first_chunk: That of the wait for the first piece of a stream.
        per_chunk: That of the wait for each further piece.
    """

    durations: dict[str, str]
    tokens: dict[str, tuple[TokenMetric, ...]]
    first_chunk: str
    per_chunk: str


_TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - no password
_CALL = "gen_ai.client.operation"
_CHAT = "gen_ai.client.inference"
_EMBEDDINGS = "gen_ai.client.embeddings"

SEMCONV_1_41 = Profile(
    durations={CHAT: f"{_CALL}.duration", EMBEDDINGS: f"{_CALL}.duration"},
    tokens={
        CHAT: (
            TokenMetric(_TOKEN_USAGE, "input_tokens", is_histogram=True, token_type="input"),  # noqa: S106
            TokenMetric(_TOKEN_USAGE, "output_tokens", is_histogram=True, token_type="output"),  # noqa: S106
        ),
        EMBEDDINGS: (
            TokenMetric(_TOKEN_USAGE, "input_tokens", is_histogram=True, token_type="input"),  # noqa: S106
        ),
    },
    first_chunk=f"{_CALL}.time_to_first_chunk",
    per_chunk=f"{_CALL}.time_per_output_chunk",
)
"""Version 1.41, as opentelemetry-util-genai 1.3b0 emits it and the dashboards of today read it."""

GENAI_0_1 = Profile(
    durations={CHAT: f"{_CHAT}.duration", EMBEDDINGS: f"{_EMBEDDINGS}.duration"},
    tokens={
        CHAT: (
            TokenMetric(f"{_CHAT}.usage.input_tokens", "input_tokens", is_histogram=False),
            TokenMetric(f"{_CHAT}.usage.output_tokens", "output_tokens", is_histogram=False),
            TokenMetric(
                f"{_CHAT}.usage.cache_read.input_tokens", "cached_input_tokens", is_histogram=False
            ),
            TokenMetric(
                f"{_CHAT}.usage.cache_write.input_tokens", "cache_write_tokens", is_histogram=False
            ),
            TokenMetric(
                f"{_CHAT}.usage.reasoning.output_tokens", "reasoning_tokens", is_histogram=False
            ),
        ),
        EMBEDDINGS: (
            TokenMetric(f"{_EMBEDDINGS}.operation.input_tokens", "input_tokens", is_histogram=True),
        ),
    },
    first_chunk=f"{_CHAT}.time_to_first_chunk",
    per_chunk=f"{_CHAT}.time_per_output_chunk",
)
"""The conventions of the repository of their own, v0.1.0."""


def profile() -> Profile:
    """Give the names that OTEL_SEMCONV_STABILITY_OPT_IN asks for."""
    asked = os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")
    latest = "gen_ai_latest_experimental" in (each.strip() for each in asked)
    return GENAI_0_1 if latest else SEMCONV_1_41
