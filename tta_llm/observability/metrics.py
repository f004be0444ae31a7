"""The instruments that calls of models are measured with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.metrics import Counter, Histogram, Meter

from tta_llm.messages import Usage
from tta_llm.observability import conventions, names
from tta_llm.observability.conventions import Profile, TokenMetric

__all__ = ["ModelInstruments"]


class ModelInstruments:
    """Durations, tokens and dollars, by the names of a profile of the GenAI conventions.

    Args:
        meter: Makes them.
        profile: Names them.
    """

    def __init__(self, meter: Meter, profile: Profile) -> None:
        self._made: dict[str, Histogram | Counter] = {}
        self._meter = meter
        self.durations: dict[str, Histogram] = {
            operation: self._seconds(name, "How long calls of a model take")
            for operation, name in profile.durations.items()
        }
        self.first_chunk: Histogram = self._seconds(
            profile.first_chunk, "How long the first piece of a stream takes"
        )
        self.per_chunk: Histogram = self._seconds(
            profile.per_chunk, "How long each further piece of a stream takes"
        )
        self._tokens = {
            operation: [(metric, self._token_instrument(metric)) for metric in metrics]
            for operation, metrics in profile.tokens.items()
        }
        self.dollars: Counter = meter.create_counter(
            "model_cost_dollars", description="What calls of known price cost"
        )
        self.unpriced: Counter = meter.create_counter(
            "model_unpriced_calls", description="Calls whose price nobody knows"
        )

    def count_tokens(
        self, operation: str, usage: Usage, modality: str, labels: Mapping[str, Any]
    ) -> None:
        """Measure the tokens of a call.

        Args:
            operation: `chat` or `embeddings`; of others the tokens have no metric.
            usage: What the provider told.
            modality: Of the input: `text`, or `unknown` where there is more than text.
            labels: What the call is known by.
        """
        for metric, instrument in self._tokens.get(operation, ()):
            told: dict[str, Any] = {**labels}
            if metric.token_type is not None:
                told[conventions.TOKEN_TYPE] = metric.token_type
            if isinstance(instrument, Counter):
                is_written = metric.counts in ("output_tokens", "reasoning_tokens")
                told[conventions.MODALITY] = "text" if is_written else modality
                instrument.add(getattr(usage, metric.counts), told)
            else:
                instrument.record(getattr(usage, metric.counts), told)

    def count_dollars(self, provider: str, model: str, cost_usd: float | None) -> None:
        """Add what a call cost, or that nobody knows."""
        about = {names.PROVIDER: provider, names.MODEL: model}
        if cost_usd is None:
            self.unpriced.add(1, about)
        else:
            self.dollars.add(cost_usd, about)

    def _seconds(self, name: str, description: str) -> Histogram:
        return self._histogram(name, "s", description, conventions.CALL_SECONDS_BUCKETS)

    def _token_instrument(self, metric: TokenMetric) -> Histogram | Counter:
        about = "Tokens that calls of a model use"
        if metric.is_histogram:
            return self._histogram(metric.name, "{token}", about, conventions.TOKEN_BUCKETS)
        return self._meter.create_counter(metric.name, "{token}", about)

    def _histogram(
        self, name: str, unit: str, description: str, boundaries: tuple[float, ...]
    ) -> Histogram:
        """Make it, or give the one of this name: two operations may share one."""
        made = self._made.get(name)
        if not isinstance(made, Histogram):
            made = self._made[name] = self._meter.create_histogram(
                name, unit, description, explicit_bucket_boundaries_advisory=boundaries
            )
        return made
