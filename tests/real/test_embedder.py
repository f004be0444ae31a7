from __future__ import annotations

import numpy as np
import pytest

from tests.real.llama_server import MODEL, Llama
from tta_llm.core import WorkflowContext
from tta_llm.providers import OpenAIEmbedder

pytestmark = pytest.mark.real

TEXTS = ["The cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates rose again."]


async def test_vectors_are_of_unit_length_and_near_where_the_meaning_is(
    llama: Llama, context: WorkflowContext
) -> None:
    embedder = OpenAIEmbedder(MODEL, dimensions=576, base_url=llama.base_url)
    try:
        vectors = await embedder.execute(TEXTS, context)
        alone = await embedder.execute(TEXTS[0], context)
    finally:
        await embedder.aclose()
    assert vectors.shape == (3, 576) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(alone.reshape(-1), vectors[0], atol=0.02)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert context.usage.input_tokens > 20
