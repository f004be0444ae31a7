"""`tta ingest`: bring the index up to date, and say what was done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tta_llm.cli.documents import Documents, report_fields, told_ignored
from tta_llm.cli.exits import Exit
from tta_llm.cli.output import print_json, print_text
from tta_llm.rag.ingest.report import IngestReport

__all__ = ["IngestOptions", "run_ingest"]


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """What the command line said."""

    documents: Documents
    as_json: bool


def run_ingest(options: IngestOptions) -> int:
    """Do it, print it, and give the exit code.

    Raises:
        UsageError: The options can't be carried out.
        TTAError: The documents or the index failed.
    """
    options.documents.check()
    report = asyncio.run(_ingest(options))
    code = Exit.SKIPPED if report.skipped else Exit.ANSWERED
    if options.as_json:
        print_json(
            {
                "folder": str(options.documents.folder),
                **report_fields(report),
                "skipped": options.documents.skipped(report),
                "seconds": round(report.seconds, 3),
                "chunks_per_second": round(report.chunks_per_second, 1),
                "exit_code": int(code),
            }
        )
    else:
        _print(options.documents, report)
    return code


async def _ingest(options: IngestOptions) -> IngestReport:
    async with options.documents.opened(quiet=options.as_json) as (_, report):
        return report


def _print(documents: Documents, report: IngestReport) -> None:
    print_text(f"index     {documents.folder}")
    print_text(
        f"documents {report.documents}: {report.added} new, {report.changed} changed, "
        f"{report.unchanged} unchanged; {report.removed} removed"
    )
    rate = f", {report.chunks_per_second:.0f} a second" if report.embedded else ""
    print_text(
        f"chunks    {report.chunks}: {report.embedded} embedded in {report.seconds:.1f} s{rate}; "
        f"{report.reused} known from elsewhere"
    )
    print_text(f"passed by {told_ignored(report)}")
    documents.print_skipped(report)
