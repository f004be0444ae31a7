"""What a semantic cache takes for a question, and what beside it must be equal exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tta_llm.core.context import WorkflowContext
from tta_llm.errors import UnkeyableError
from tta_llm.messages import ChatRequest, Message, TextPart
from tta_llm.performance._keying import Keying, require_plain_function

__all__ = ["Asked", "Questions", "question_of"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as a cache looks for it.

    Args:
        question: Its text.
        partition: The digest of all that must be equal exactly, which is 32 bytes.
        known: The names in the context's data that the answer may depend on.
    """

    question: str
    partition: bytes
    known: frozenset[str]


class Questions:
    """Takes inputs apart.

    Args:
        text: Gives the question and the rest of an input; None when it asks no single question. In
            its absence, `question_of`.
        details: Gives what of the question must be equal exactly.
        vary: The names in the context's data that must be equal.
        ignore: Those that the step may read although they need not be.
        max_chars: A text that is longer is no question.
    """

    def __init__(
        self,
        text: Callable[[Any], tuple[str, Any] | None] | None,
        details: Callable[[str], Any] | None,
        vary: Iterable[str],
        ignore: Iterable[str],
        max_chars: int,
    ) -> None:
        if text is not None:
            require_plain_function(text, "text= is a plain function of the input")
        if details is not None:
            require_plain_function(details, "details= is a plain function of the question")
        self._text = question_of if text is None else text
        self._details, self._max_chars = details, max_chars
        self._keying = Keying(None, vary, ignore, b"")

    def of(self, input_data: Any, context: WorkflowContext) -> Asked | None:
        """Give the question of an input; None when it asks no single one.

        Raises:
            TypeError: When `text` gives anything else.
            UnkeyableError: When what must be equal is no plain data.
        """
        question, rest = _checked(self._text(input_data)) or ("", None)
        if not question.strip() or len(question) > self._max_chars:
            return None
        details = None if self._details is None else self._details(question)
        try:
            partition, known = self._keying.of([rest, details], context)
        except UnkeyableError as error:
            raise UnkeyableError(
                f"{str(error).partition(':')[0]}: let the rest of the input that text= gives, and "
                "what vary= names, be plain data"
            ) from error
        return Asked(question, partition, known)


def _checked(told: Any) -> tuple[str, Any] | None:
    match told:
        case None:
            return None
        case (str(), _) if isinstance(told, tuple):
            return told
    raise TypeError(
        f"text= gives a {type(told).__name__}: let it give (question, rest), where rest is all "
        "else of the input that must be equal, or None for an input that is to pass"
    )


def question_of(input_data: Any) -> tuple[str, Any] | None:
    """Give the question that an input is, and the rest of it.

    A text is one, and so is a chat in which the user says one thing, in text, and no tools are
    offered. What else there is, instructions and parameters, is the rest.

    Returns:
        None for anything else, such as a conversation of several turns.
    """
    if isinstance(input_data, str):
        return input_data, None
    request = _request_of(input_data)
    if request is None or request.tools:
        return None
    spoken = [each for each in request.messages if each.role != "system"]
    if len(spoken) != 1 or not _is_text(spoken[0]):
        return None
    rest = {each.name: getattr(request, each.name) for each in fields(request)}
    rest["messages"] = [None if each is spoken[0] else each for each in request.messages]
    return spoken[0].text, rest


def _request_of(input_data: Any) -> ChatRequest | None:
    if isinstance(input_data, ChatRequest):
        return input_data
    is_chat = isinstance(input_data, Sequence) and len(input_data) > 0
    if is_chat and all(isinstance(each, Message) for each in input_data):
        return ChatRequest(input_data)
    return None


def _is_text(message: Message) -> bool:
    return message.role == "user" and all(isinstance(part, TextPart) for part in message.parts)
