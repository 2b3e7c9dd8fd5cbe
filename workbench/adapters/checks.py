"""Whether an adapter is of a base: by the hashes of its files, and by names and shapes.

All of it without torch, from headers: before anything is loaded, so that what doesn't belong
together is refused in words and not by a stack of tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.adapters.files import Adapter, Tensor, read_header
from workbench.adapters.origin import Origin
from workbench.config.base_facts import is_weights
from workbench.errors import WorkbenchError
from workbench.files import read_json_object, sha256_file

GOOD, BAD, UNKNOWN = "good", "bad", "unknown"
_SHOWN = 3
"""Names in a sentence."""
_LOW_RANK = (
    "lora_A.weight",
    "lora_B.weight",
    "lora_embedding_A",
    "lora_embedding_B",
    "lora_magnitude_vector",
)
_NEW_TOKENS = ".token_adapter.trainable_tokens_delta"
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")

Tell = Callable[[str, int, int, str], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    """`base hash`, `target modules`, `shapes`, `tokenizer`."""
    verdict: str
    """`good`, `bad`, or `unknown` where nobody can say."""
    text: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(adapter: Adapter, origin: Origin, base: Path, tell: Tell | None = None) -> list[Finding]:
    """What is to be said of an adapter on the base in the folder `base`.

    Reads each file of the base's weights, for its hash, where the adapter's maker noted one; of
    that it tells as it goes. Raises WorkbenchError for a base that can't be read.
    """
    return [
        *_by_hash(origin, base, tell),
        *_by_names(adapter, base),
        *_by_tokenizer(adapter, base),
    ]


def require(adapter: Adapter, origin: Origin, base: Path, tell: Tell | None = None) -> None:
    """Raises WorkbenchError when the adapter is not of this base."""
    bad = [finding for finding in check(adapter, origin, base, tell) if finding.verdict == BAD]
    # That a hash is another says little where the layers fit; that they don't says it all.
    wrong = [finding for finding in bad if finding.what != "tokenizer"]
    if wrong:
        raise WorkbenchError(
            f"The adapter in {adapter.folder} is not of the base in {base}: {wrong[-1].text}",
            f"It was made for {origin.base}." if origin.base else "Name the base that it is of.",
        )


def weights_files(folder: Path) -> list[Path]:
    """The files of a base's weights that are loaded, by its index where it has one."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        named = read_json_object(index).get("weight_map")
        if isinstance(named, dict):
            return [folder / name for name in sorted({str(value) for value in named.values()})]
    return sorted(path for path in folder.glob("*.safetensors") if is_weights(path.name))


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a base's weights by name, from the headers of its files."""
    found: dict[str, Tensor] = {}
    for path in weights_files(folder):
        found.update(read_header(path)[0])
    return found


def name_in(base: dict[str, Tensor], module: str, end: str = ".weight") -> str | None:
    """How the base's files call the weights of `module`; None where they have none.

    Some files are without the name of what is around the decoder (GPT-2's `transformer.`).
    """
    while True:
        if module + end in base:
            return module + end
        head, dot, rest = module.partition(".")
        # Never down to a bare name: every layer has an `o_proj`.
        if not dot or head in ("layers", "h", "blocks"):
            return None
        module = rest


def _by_hash(origin: Origin, base: Path, tell: Tell | None) -> Iterator[Finding]:
    noted = {n: h for n, h in origin.base_files.items() if n.endswith(".safetensors")}
    if not noted:
        yield Finding(
            "base hash", UNKNOWN, "Nobody noted the hashes of the base that it was trained on."
        )
        return
    differing = []
    for place, (name, wanted) in enumerate(sorted(noted.items())):
        if tell is not None:
            tell("checking the base", place, len(noted), "files")
        path = base / name
        found = sha256_file(path) if path.exists() else "absent"
        if found != wanted:
            differing.append(f"the SHA-256 of {name} was {wanted} and is {found}")
    if differing:
        yield Finding("base hash", BAD, f"its weights are others: {differing[0]}.")
    else:
        yield Finding("base hash", GOOD, f"{_files(len(noted))} of weights as it was trained on.")


def _files(count: int) -> str:
    return "the one file" if count == 1 else f"all {count} files"


def _by_names(adapter: Adapter, base: Path) -> Iterator[Finding]:
    known = tensors_of(base)
    modules = adapter.modules
    absent = [m for m in modules if name_in(known, m) is None and not _may_be_tied(m)]
    unsure = [module for module in absent if ".experts" in module]
    missing = [module for module in absent if module not in unsure]
    if missing:
        yield Finding(
            "target modules",
            BAD,
            f"it changes {len(missing)} of {len(modules)} layers that this base has not: "
            f"{_some(missing)}.",
        )
    elif unsure:
        yield Finding(
            "target modules", UNKNOWN, f"experts are named otherwise in its files: {_some(unsure)}."
        )
    else:
        ends = ", ".join(adapter.targets) or "none"
        yield Finding("target modules", GOOD, f"{len(modules)} layers, all of this base: {ends}.")
    wrong = [text for text in _misfits(adapter, known) if text]
    if wrong:
        more = f"; {len(wrong) - 1} more" if wrong[1:] else ""
        yield Finding("shapes", BAD, f"{wrong[0]}{more}.")
    elif not missing:
        yield Finding("shapes", GOOD, f"all {len(adapter.tensors)} tensors fit.")


def _may_be_tied(module: str) -> bool:
    """A head that has the weights of the embeddings is in no file."""
    return module.rpartition(".")[2] in ("lm_head", "embed_out")


def _misfits(adapter: Adapter, base: dict[str, Tensor]) -> Iterator[str]:
    swapped = adapter.config.get("fan_in_fan_out") is True
    for name, tensor in adapter.tensors.items():
        part = next((end for end in _LOW_RANK if name.endswith(f".{end}")), None)
        if part is None:
            yield from _whole_misfit(name, tensor, base)
            continue
        module = name.removesuffix(f".{part}")
        found = name_in(base, module)
        if found is None or len(base[found].shape) != 2:
            continue
        rows, columns = base[found].shape
        if swapped:
            rows, columns = columns, rows
        has, wants = {
            "lora_A.weight": (tensor.shape[-1], columns),
            "lora_B.weight": (tensor.shape[0], rows),
            "lora_embedding_A": (tensor.shape[-1], rows),
            "lora_embedding_B": (tensor.shape[0], columns),
            # That of embeddings is as wide as they are.
            "lora_magnitude_vector": (tensor.shape[-1], rows),
        }[part]
        if has != wants and not (part.startswith("lora_mag") and has == columns):
            yield f"{name} is made for {has} and {found} has {wants}"


def _whole_misfit(name: str, tensor: Tensor, base: dict[str, Tensor]) -> Iterator[str]:
    """Of a module that was trained whole, or rows for new tokens, of which there may be more."""
    if name.endswith(_NEW_TOKENS):
        found = name_in(base, name.removesuffix(_NEW_TOKENS))
    else:
        module, _, end = name.rpartition(".")
        found = name_in(base, module, f".{end}")
    if found is None:
        return
    if tensor.shape[1:] != base[found].shape[1:]:
        yield f"{name} has the shape {tensor.shape} and {found} has {base[found].shape}"


def _by_tokenizer(adapter: Adapter, base: Path) -> Iterator[Finding]:
    """Of what lies beside it: an adapter may bring tokens and a template of its own."""
    both = [n for n in _TOKENIZERS if (adapter.folder / n).exists() and (base / n).exists()]
    other = [n for n in both if sha256_file(adapter.folder / n) != sha256_file(base / n)]
    if not both:
        yield Finding("tokenizer", UNKNOWN, "it brings none; the base's own is used.")
    elif other:
        yield Finding(
            "tokenizer", UNKNOWN, f"it brings its own {', '.join(other)}, which is used with it."
        )
    else:
        yield Finding("tokenizer", GOOD, "the base's own.")


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown}, …" if names[_SHOWN:] else shown
