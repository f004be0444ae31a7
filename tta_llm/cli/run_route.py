"""`tta route`: calibrate on a file of prompts, or explain one prompt, and show what came out."""

from __future__ import annotations

import bisect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tta_llm.cli.exits import Exit, UsageError
from tta_llm.cli.output import print_json, print_text
from tta_llm.routing.calibration import Calibration, calibrate
from tta_llm.routing.curve import curve_svg, curve_text
from tta_llm.routing.fitted import FittedScorer
from tta_llm.routing.operating_point import OperatingPoint
from tta_llm.routing.outcomes import read_outcomes
from tta_llm.routing.prompt_complexity import DEFAULT_THRESHOLDS, PromptComplexity

__all__ = ["CalibrateOptions", "run_calibrate", "run_explain"]

_DEFAULT_TIERS = ("fast", "balanced", "quality")


@dataclass(frozen=True, slots=True)
class CalibrateOptions:
    """What the command line said."""

    data: Path
    targets: Mapping[str, float | None]
    tiers: str | None
    costs: str | None
    fit: bool
    out: Path | None
    svg: Path | None
    as_json: bool


def run_calibrate(options: CalibrateOptions) -> int:
    """Do it, write the files, print it, and give the exit code.

    Raises:
        UsageError: The options can't be carried out.
        ValueError: The data is not of its form, or too little for the target.
        OSError: A file can't be read or written.
    """
    targets = _checked(options)
    costs = None if options.costs is None else _numbers(options.costs)
    tiers = None if options.tiers is None else [each.strip() for each in options.tiers.split(",")]
    outcomes = read_outcomes(options.data)
    with _bar(shown=options.fit and not options.as_json) as on_fold:
        found = calibrate(
            outcomes,
            target_cost=targets.get("target_cost"),
            target_quality=targets.get("target_quality"),
            strong_share=targets.get("strong_share"),
            fit=options.fit,
            tiers=tiers,
            costs=costs,
            on_fold=on_fold,
        )
    drawn = curve_svg(found) if options.svg is not None else ""
    if options.out is not None:
        found.save(options.out)
    if options.svg is not None:
        options.svg.write_text(drawn, "utf-8")
    if options.as_json:
        print_json(_as_json(found))
    else:
        _print(found, options)
    return Exit.ANSWERED


def _checked(options: CalibrateOptions) -> dict[str, float]:
    """Give the one target."""
    targets = {name: value for name, value in options.targets.items() if value is not None}
    if len(targets) != 1:
        raise UsageError("give one of --target-cost, --target-quality and --strong-share")
    for name, value in targets.items():
        if not 0 <= value <= 1:
            raise UsageError(f"--{name.replace('_', '-')} is from 0 to 1, not {value:g}")
    if not options.data.is_file():
        raise UsageError(f"there is no file {str(options.data)!r}; give --data one that is there")
    return targets


def _numbers(text: str) -> list[float]:
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise UsageError(f"--costs are numbers, as in 1,20, not {text!r}") from None


@contextmanager
def _bar(*, shown: bool) -> Iterator[Callable[[int, int], object] | None]:
    """A progress bar while somebody watches, and there is something to wait for."""
    if not shown or not sys.stderr.isatty():
        yield None
        return
    columns = TextColumn("fitting", markup=False), BarColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("fitting", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print(found: Calibration, options: CalibrateOptions) -> None:
    print_text(f"prompts: {found.prompts}; tiers: {', '.join(found.tiers)}")
    for tier, quality in zip(found.tiers, found.tier_quality, strict=False):
        print_text(f"quality of {tier} alone: {quality:.3f}")
    if found.apgr is not None:
        print_text(f"average performance gap recovered: {found.apgr}, by chance 0.5")
    if isinstance(found.scorer, FittedScorer):
        print_text(f"share of the learned part in the score: {found.scorer.blend:.2f}")
    if found.tier_quality:
        print_text(f"\nquality by cost; . by chance, * by score, O chosen\n{curve_text(found)}")
    print_text(f"\n{_HEADING}")
    for point in found.curve[::2]:
        print_text(_row(point))
    print_text(f"\nchosen:\n{_row(found.chosen)}")
    for path in (options.out, options.svg):
        if path is not None:
            print_text(f"wrote {path}")


_HEADING = f"{'cost':>6} {'quality':>8}  {'thresholds':<24} shares"


def _row(point: OperatingPoint) -> str:
    quality = "" if point.quality is None else f"{point.quality:.3f}"
    thresholds = ", ".join(f"{each:.3f}" for each in point.thresholds)
    shares = ", ".join(f"{each:.0%}" for each in point.shares)
    return f"{point.cost:>6.2f} {quality:>8}  {thresholds:<24} {shares}"


def _as_json(found: Calibration) -> dict[str, Any]:
    scorer = found.scorer
    return {
        "prompts": found.prompts,
        "tiers": found.tiers,
        "thresholds": found.thresholds,
        "chosen": asdict(found.chosen),
        "tier_quality": found.tier_quality,
        "apgr": None if found.apgr is None else asdict(found.apgr),
        "blend": scorer.blend if isinstance(scorer, FittedScorer) else 0.0,
        "curve": [asdict(point) for point in found.curve],
        "exit_code": int(Exit.ANSWERED),
    }


def run_explain(prompt: str, config: Path | None, *, as_json: bool) -> int:
    """Score the prompt, print it, and give the exit code.

    Raises:
        UsageError: There is no such file.
        ValueError: The file is no calibration.
    """
    if config is not None and not config.is_file():
        raise UsageError(f"there is no file {str(config)!r}; give --config one that is there")
    if prompt == "-":
        prompt = sys.stdin.buffer.read().decode("utf-8", "replace")
    found = None if config is None else Calibration.load(config)
    tiers = _DEFAULT_TIERS if found is None else found.tiers
    thresholds = DEFAULT_THRESHOLDS if found is None else found.thresholds
    score = (PromptComplexity() if found is None else found.scorer)(prompt)
    tier = tiers[bisect.bisect_right(thresholds, score.value)]
    told = {"score": score.value, "tier": tier, "reasons": score.reasons}
    if as_json:
        print_json({**told, "tiers": tiers, "thresholds": thresholds, "exit_code": 0})
        return Exit.ANSWERED
    limits = ", ".join(f"{each:.3f}" for each in thresholds)
    print_text(f"{tier}: score {score.value:.3f}, of {', '.join(tiers)} parted at {limits}")
    for reason in score.reasons:
        print_text(f"- {reason}")
    return Exit.ANSWERED
