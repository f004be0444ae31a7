"""Prompts as templates, which know their version."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, get_args

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import MissingExtraError
from tta_llm.messages import ChatRequest, Message, Role
from tta_llm.observability import SpanDetails, names

__all__ = ["PromptTemplate"]

_SECTION = re.compile(r"^--- *(\w+) *$", re.MULTILINE)
_LONGEST_RANGE = 10_000
_LONGEST_REPEAT = 1_000_000


class PromptTemplate(WorkflowPrimitive[Mapping[str, Any], ChatRequest]):
    r"""Makes a request to a model out of a Jinja template and the values of its variables.

    Values are put in as they are: they are never rendered, and can't change who speaks. A variable
    without a value is an error. The template runs in Jinja's sandbox, without files or imports, and
    within limits on loops, repeated text and the size of what it makes. It is code all the same, so
    don't let users write it.

    Its version is a hash of its texts. It stands on the span of the step, beside its name.

    Args:
        template: A text, for one message from the user; with lines such as `--- system` and
            `--- user`, a message for each; or pairs of a role and a text. A message that comes out
            empty is left out.
        name: What spans and errors call it.
        max_chars: The most that it may make.

    Raises:
        ValueError: When the template is wrong; from `render` and `execute`, when a variable is
            missing, or it makes too much or no message.
        MissingExtraError: When Jinja is not installed.

    Example:
        ```python
        from tta_llm.prompts import PromptTemplate
        from tta_llm.testing import FakeChatModel

        prompt = PromptTemplate(
            "--- system\nAnswer in {{ language }}.\n--- user\n{{ question }}"
        )
        assert prompt.variables == ("language", "question")
        request = prompt.render(language="French", question="{{ language }}?")
        assert [message.text for message in request.messages] == [
            "Answer in French.",
            "{{ language }}?",
        ]
        workflow = prompt >> FakeChatModel("Oui.")
        assert workflow.run({"language": "French", "question": "Ready?"}).text == "Oui."
        ```
    """

    def __init__(
        self,
        template: str | Sequence[tuple[Role, str]],
        *,
        name: str = "prompt",
        max_chars: int = 1_000_000,
    ) -> None:
        super().__init__(name=name)
        self.messages: tuple[tuple[Role, str], ...] = _messages(template)
        self.max_chars: int = max_chars
        self.version: str = _version(self.messages)
        used: set[str] = set()
        self._templates: list[tuple[Role, Any]] = []
        for role, text in self.messages:
            compiled, variables = _compiled(text, self.name)
            self._templates.append((role, compiled))
            used |= variables
        self.variables: tuple[str, ...] = tuple(sorted(used))

    @classmethod
    def from_file(cls, path: str | Path, *, name: str | None = None) -> Self:
        """Read a template from a UTF-8 file; its name is the file's, unless another is given."""
        path = Path(path)
        return cls(path.read_text("utf-8-sig"), name=name or path.stem)

    def render(self, **values: Any) -> ChatRequest:
        """Make the request with these values."""
        return self._rendered(values)

    async def execute(self, input_data: Mapping[str, Any], context: WorkflowContext) -> ChatRequest:
        """Make the request with the values of a mapping; those that it doesn't use are no error."""
        if not isinstance(input_data, Mapping):
            raise TypeError(
                f"prompt {self.name!r} takes a mapping of its variables to values, "
                f"not {type(input_data).__name__}"
            )
        return self._rendered(input_data)

    def _rendered(self, values: Mapping[str, Any]) -> ChatRequest:
        left = self.max_chars
        messages = []
        for role, compiled in self._templates:
            text = self._text(compiled, values, left).strip("\n")
            left -= len(text)
            if text.strip():
                messages.append(Message(role, text))
        if not messages:
            raise ValueError(f"prompt {self.name!r} came out empty: a model needs a message")
        return ChatRequest(messages)

    def _text(self, compiled: Any, values: Mapping[str, Any], most: int) -> str:
        import jinja2  # noqa: PLC0415 - optional

        pieces, length = [], 0
        try:
            for piece in compiled.generate(dict(values)):
                pieces.append(piece)
                length += len(piece)
                if length > most:
                    raise ValueError(
                        f"prompt {self.name!r} makes more than {self.max_chars:,} characters: "
                        "shorten what goes in, or raise max_chars"
                    )
        except (jinja2.TemplateError, ArithmeticError, TypeError) as error:
            given = ", ".join(map(str, values)) or "nothing"
            raise ValueError(
                f"prompt {self.name!r} can't be rendered: {error}; it was given {given}"
            ) from error
        return "".join(pieces)

    def _span_details(self) -> SpanDetails:
        told = {names.PROMPT_NAME: self.name, names.PROMPT_VERSION: self.version}
        return SpanDetails(self.name, attributes=told)


def _messages(template: str | Sequence[tuple[Role, str]]) -> tuple[tuple[Role, str], ...]:
    pairs: list[tuple[Any, Any]]
    if not isinstance(template, str):
        pairs = [(role, text) for role, text in template]
    else:
        before, *parts = _SECTION.split(template.replace("\r\n", "\n"))
        pairs = list(zip(parts[::2], parts[1::2], strict=True)) if parts else [("user", before)]
        if parts and before.strip():
            raise ValueError("a template with sections begins with one, such as '--- system'")
    roles = get_args(Role)
    for role, text in pairs:
        if role not in roles or role == "tool":
            raise ValueError(f"{role!r} is no role: a template speaks as system, user or assistant")
        if not isinstance(text, str):
            raise TypeError(f"a template is a text, not {type(text).__name__}")
    if not pairs:
        raise ValueError("a template has at least one message")
    return tuple((role, text.replace("\r\n", "\n")) for role, text in pairs)


def _version(messages: Sequence[tuple[Role, str]]) -> str:
    said = "\0".join(f"{role}\0{text}" for role, text in messages)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _compiled(text: str, name: str) -> tuple[Any, set[str]]:
    environment = _environment()
    import jinja2  # noqa: PLC0415 - optional
    from jinja2 import meta  # noqa: PLC0415 - optional

    try:
        parsed = environment.parse(text)
        compiled = environment.from_string(text)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"prompt {name!r} is wrong in line {error.lineno}: {error}") from error
    if list(meta.find_referenced_templates(parsed)):
        raise ValueError(f"prompt {name!r} names another template, but it can load none")
    return compiled, meta.find_undeclared_variables(parsed) - set(environment.globals)


@lru_cache(maxsize=1)
def _environment() -> Any:
    try:
        from jinja2 import StrictUndefined  # noqa: PLC0415 - optional
        from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingExtraError("PromptTemplate", "prompts") from error

    class Limited(ImmutableSandboxedEnvironment):
        """Refuses what makes much of little."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            size = max(len(each) if hasattr(each, "__len__") else 1 for each in (left, right))
            times = min((abs(each) for each in (left, right) if isinstance(each, int)), default=1)
            if operator == "**" or (size > 1 and size * times > _LONGEST_REPEAT):
                raise OverflowError(f"{operator} would make too much")
            if hasattr(left, "__len__") and isinstance(right, int) and right > _LONGEST_REPEAT:
                raise OverflowError(f"{operator} would make too much")
            return super().call_binop(context, operator, left, right)

    environment = Limited(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.pop("lipsum", None)
    environment.globals["range"] = _range
    return environment


def _range(*bounds: int) -> range:
    made = range(*bounds)
    if len(made) > _LONGEST_RANGE:
        raise OverflowError(f"range() gives at most {_LONGEST_RANGE:,} numbers here")
    return made
