"""`tta chat`: the command and its options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tta_llm.cli.exits import UsageError
from tta_llm.cli.leaving import leave
from tta_llm.cli.options import BaseUrl, Index, Rebuild, Store, TopK, Where

if TYPE_CHECKING:
    from tta_llm.cli.documents import Documents

__all__ = ["ChatOptions", "chat"]


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What the command line said."""

    documents: Documents | None
    model: str | None
    base_url: str | None
    session: str | None
    system: str
    top_k: int
    where: str | None
    keep: bool
    as_json: bool

    def check(self) -> None:
        """Make sure that they fit together.

        Raises:
            UsageError: They don't.
        """
        if self.documents is not None:
            self.documents.check()
        elif self.where is not None:
            raise UsageError("--where narrows documents: give --docs PATH with it")
        if self.session is not None and not self.keep:
            raise UsageError("--session keeps the conversation and --no-keep does not: give one")
        if self.session is not None and not self.session.strip():
            raise UsageError("the session needs a name, as in: --session garden")


def chat(
    *,
    docs: Annotated[
        Path | None,
        typer.Option(
            help="A folder of documents, or one document, that the answers rest on. Without it: "
            "the model answers from what it knows.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            envvar="TTA_MODEL",
            help="Who answers: openai:NAME, anthropic:NAME, google:NAME, ollama:NAME and so on; "
            "several with commas between them, each asked when those before it don't answer; or "
            "none to quote the documents. Without it: openai:gpt-4.1-mini when OPENAI_API_KEY is "
            "set, else none.",
            show_default=False,
        ),
    ] = None,
    base_url: BaseUrl = None,
    session: Annotated[
        str | None,
        typer.Option(
            help="The conversation's name: it is kept in your account, and goes on when you give "
            "the name again. Without it: the conversation ends with the command.",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        str, typer.Option(help="What the model is told before all else, such as a tone.")
    ] = "",
    no_keep: Annotated[
        bool, typer.Option("--no-keep", help="Each question stands for itself; none is kept.")
    ] = False,
    index: Index = None,
    store: Store = None,
    top_k: TopK = 6,
    where: Where = None,
    rebuild: Rebuild = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each line that is read.")
    ] = False,
) -> None:
    """Talk with a model, with your documents, or with a model about your documents.

    Ctrl-C stops an answer, and at the prompt leaves; /help tells the commands. From a pipe each
    line is a question.

    Exit codes: 0 left; 1 something failed; 2 wrong usage; 130 interrupted.
    """
    # Imported here, because it loads for a second what `tta --help` doesn't need.
    from tta_llm.cli.documents import Documents  # noqa: PLC0415
    from tta_llm.cli.run_chat import run_chat  # noqa: PLC0415

    options = ChatOptions(
        documents=None if docs is None else Documents(docs, index, store, rebuild),
        model=model,
        base_url=base_url,
        session=session,
        system=system,
        top_k=top_k,
        where=where,
        keep=not no_keep,
        as_json=as_json,
    )
    leave(lambda: run_chat(options), as_json=as_json)
