"""Adapters of one base combined to one, by PEFT's methods: what is asked for, and the job.

The methods are PEFT's `add_weighted_adapter`: `linear` adds A's and B's each (Zhang et al. 2023,
arXiv 2306.14870), `cat` lays them side by side (exact, the ranks add up), `svd` is the best update
of a rank (exact up to it); `ties` trims and elects signs (Yadav et al. 2023, arXiv 2306.01708),
`dare_*` drops at random and rescales (Yu et al. 2023, arXiv 2311.03099), `magnitude_prune` keeps
the largest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.adapters import checks, files, kept, origin
from workbench.adapters.files import Adapter
from workbench.errors import WorkbenchError
from workbench.files import read_json_object
from workbench.jobs import launch, tasks
from workbench.text import size
from workbench.workspace import Workspace, check_name

KIND = "combine"
METHODS = (
    "linear",
    "cat",
    "svd",
    "ties",
    "ties_svd",
    "dare_linear",
    "dare_linear_svd",
    "dare_ties",
    "dare_ties_svd",
    "magnitude_prune",
    "magnitude_prune_svd",
)
_OF_ONE_RANK = ("linear", "ties", "dare_linear", "dare_ties", "magnitude_prune")


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be combined."""

    name: str
    adapters: list[str]
    """Their folders."""
    weights: list[float]
    method: str = "linear"
    density: float = 0.5
    """Share of the values that ties, dare and magnitude_prune keep."""
    rank: int | None = None
    """Of the result, for methods that end in an SVD; None: the largest of theirs."""
    seed: int = 0
    """What dare drops is drawn by it."""
    base: str = ""
    """The folder of the base."""
    base_name: str = ""
    """What it is called in a config."""


def start(
    workspace: Workspace,
    references: Sequence[str],
    name: str,
    *,
    weights: Sequence[float] = (),
    method: str = "linear",
    density: float = 0.5,
    rank: int | None = None,
    seed: int = 0,
    base: str = "",
) -> Path:
    """Start combining adapters to `adapters/NAME`; returns the job's folder.

    `weights` default to an equal share each. Raises WorkbenchError for adapters that can't be
    combined: of other bases, with parts that PEFT's methods pass over, or of other ranks where the
    method wants one; and for a name that is taken.
    """
    target = kept.of_workspace(workspace) / check_name(name, "adapter")
    if target.exists():
        raise WorkbenchError(f"There is an adapter {name} already.", "Choose another --name.")
    if len(references) < 2:
        raise WorkbenchError("It takes two adapters at least to combine them.")
    shares = list(weights) or [1 / len(references)] * len(references)
    if len(shares) != len(references):
        raise WorkbenchError(
            f"There are {len(references)} adapters and {len(shares)} weights.",
            "Give a weight to each: --weights 0.7 0.3.",
        )
    if method not in METHODS:
        raise WorkbenchError(f"There is no method {method}.", f"There are {', '.join(METHODS)}.")
    if not 0 < density <= 1:
        raise WorkbenchError(f"A density of {density:g} can't be.", "It is over 0 and 1 at most.")
    if rank is not None and (rank < 1 or not method.endswith("svd")):
        raise WorkbenchError(
            f"{method} can't make rank {rank}.",
            "The rank of the result can be chosen for methods that end in svd, 1 at least.",
        )
    adapters = [files.read(kept.find(workspace, reference)) for reference in references]
    check(adapters, method)
    told = origin.of(adapters[0])
    folder = origin.base_folder(workspace, told, base)
    # It holds each of them and the result, which has their ranks together at most.
    needed = sum(adapter.bytes for adapter in adapters)
    refuse_small_disk(target, needed)
    request = Request(
        name=name,
        adapters=[str(adapter.folder) for adapter in adapters],
        weights=shares,
        method=method,
        density=density,
        rank=rank,
        seed=seed,
        base=str(folder),
        base_name=base or told.base,
    )
    return tasks.start(
        workspace, KIND, "workbench.export.combine", asdict(request), environment=launch.OFFLINE
    )


def read_request(folder: Path) -> Request:
    return Request(**read_json_object(folder / tasks.REQUEST))


def check(adapters: Sequence[Adapter], method: str) -> None:
    """Raises WorkbenchError for adapters that the method can't combine, or not wholly."""
    for adapter in adapters:
        if (what := _passed_over(adapter)) is not None:
            raise WorkbenchError(
                f"The adapter in {adapter.folder} can't be combined: {what}, which PEFT's methods "
                "pass over.",
                "Merge it into its base instead: workbench export merged.",
            )
    if not any(adapter.modules for adapter in adapters):
        raise WorkbenchError("There is no low-rank update in these adapters.")
    ranks = [adapter.rank for adapter in adapters]
    if method in _OF_ONE_RANK and len(set(ranks)) > 1:
        raise WorkbenchError(
            f"{method} combines adapters of one rank, and these have {_listed(ranks)}.",
            "Take svd or cat, which combine any.",
        )
    patterned = [a for a in adapters if a.config.get("rank_pattern")]
    if method in _OF_ONE_RANK and patterned:
        raise WorkbenchError(
            f"{method} combines layers of one rank; {patterned[0].folder} has several.",
            "Take svd or cat, which combine any.",
        )


def require_one_base(adapters: Sequence[Adapter], base: Path, tell: checks.Tell) -> None:
    """Raises WorkbenchError when one of them is of another base."""
    for adapter in adapters:
        checks.require(adapter, origin.of(adapter), base, tell)


def refuse_small_disk(target: Path, needed: int) -> None:
    """Raises WorkbenchError when there is no room for so many bytes where `target` is to be."""
    from workbench.hardware.host import disk_free

    free = disk_free(target.parent)
    if free is not None and free < needed:
        raise WorkbenchError(
            f"There is too little room for {target}: it takes {size(needed)}, and {size(free)} "
            "are free.",
            "Free some space, or name a folder on another disk.",
            "disk_full",
        )


def _passed_over(adapter: Adapter) -> str | None:
    """What an adapter has beside A and B."""
    config = adapter.config
    if config.get("peft_type") != "LORA":
        return f"it is a {config.get('peft_type')}, not a LoRA"
    if config.get("use_dora"):
        return "it is a DoRA, whose magnitudes are no low-rank update"
    if config.get("modules_to_save"):
        return f"it has modules that were trained whole ({', '.join(config['modules_to_save'])})"
    if config.get("trainable_token_indices"):
        return "it has tokens of its own"
    if config.get("target_parameters") or config.get("lora_bias"):
        return "it changes more than the weights of layers"
    return None


def _listed(ranks: Sequence[int | None]) -> str:
    return ", ".join(str(rank) for rank in ranks)
