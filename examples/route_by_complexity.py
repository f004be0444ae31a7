"""Send easy prompts to a small model and hard ones to a large one, and see why."""

from __future__ import annotations

from tta_llm import Budget, WorkflowContext
from tta_llm.providers import Price
from tta_llm.routing import ComplexityRouter, FallbackChain
from tta_llm.testing import FakeChatModel

PROMPTS = [
    "Hello!",
    "What is the capital of France?",
    "Compare two ways to store sessions, and say which you would take, and why.",
    "Prove that there are infinitely many primes, and that none of them is the last.",
]


def model(name: str, dollars: float) -> FakeChatModel:
    """Make a stand-in; `chat_model("openai:gpt-6-luna")` gives a real one."""
    price = Price(input=dollars, output=5 * dollars)
    return FakeChatModel(f"An answer of {name}.", name=name, price=price, max_tokens=500)


router = ComplexityRouter(
    routes={
        "fast": model("small", 0.1),
        "balanced": model("middle", 1),
        "quality": FallbackChain([model("large", 4), model("large elsewhere", 5)]),
    },
)

for prompt in PROMPTS:
    context = WorkflowContext()
    answer = router.run(prompt, context)
    print(f"{prompt}\n  {router.explain(prompt)}\n  {answer.text} ${context.usage.cost_usd:.6f}\n")

# With little money left, a dear route is impossible, and the nearest that can be paid is taken.
poor = WorkflowContext(budget=Budget(dollars=0.005))
print(f"{PROMPTS[-1]}\n  {router.explain(PROMPTS[-1], poor)}")
