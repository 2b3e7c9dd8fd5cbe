"""An adapter by its files: PEFT's `adapter_config.json` and weights in safetensors.

Read without torch: of the weights the header alone, 8 bytes with its length, little end first,
then that much JSON (the format's own README: huggingface/safetensors).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.config.base_facts import LENGTH, LONGEST_HEADER, is_shape
from workbench.errors import WorkbenchError
from workbench.files import explain_os_error, read_json_object

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PICKLE = "adapter_model.bin"
_PREFIX = "base_model.model."
"""Before the name of a base's module, in the name of each tensor that PEFT saves."""
_AGAIN = "Copy it again, whole."


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor by a safetensors header."""

    shape: tuple[int, ...]
    dtype: str
    """By the format's name: `F32`, `BF16`."""
    begin: int
    """Bytes from the header's end to its own beginning, and to its end."""
    end: int


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that is whole, by its files."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    """By the names in the file, without PEFT's prefix: `model.layers.0.mlp.up_proj.lora_A…`."""

    @property
    def kind(self) -> str:
        """`LoRA`, `DoRA`, or PEFT's own name of another method."""
        if self.config.get("peft_type") != "LORA":
            return str(self.config.get("peft_type"))
        return "DoRA" if self.config.get("use_dora") else "LoRA"

    @property
    def rank(self) -> int | None:
        return _whole_number(self.config.get("r"))

    @property
    def alpha(self) -> float | None:
        value = self.config.get("lora_alpha")
        return value if isinstance(value, int | float) else None

    @property
    def parameters(self) -> int:
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())

    @property
    def bytes(self) -> int:
        """Of its weights' file."""
        return (self.folder / WEIGHTS).stat().st_size

    @property
    def base(self) -> str:
        """What its config calls its base: a hub's name or a folder; empty where it says nothing."""
        return str(self.config.get("base_model_name_or_path") or "")

    @property
    def targets(self) -> list[str]:
        """The last parts of the modules' names that it is on."""
        return sorted({module.rpartition(".")[2] for module in self.modules})

    @property
    def modules(self) -> list[str]:
        """The full names of the base's modules that have a low-rank update."""
        names = (name.partition(".lora_")[0] for name in self.tensors if ".lora_" in name)
        return list(dict.fromkeys(names))


def read(folder: Path) -> Adapter:
    """The adapter in `folder`.

    Raises WorkbenchError, saying what is missing or broken, for a folder that holds none or half
    of one, and for weights in pickle, which can run code when loaded.
    """
    if not folder.is_dir():
        raise WorkbenchError(f"There is no folder {folder}.", "Check the path.")
    if not (folder / CONFIG).exists():
        raise WorkbenchError(
            f"There is no adapter in {folder}: it has no {CONFIG}.",
            "Name the folder that PEFT's save_pretrained wrote.",
        )
    config = read_json_object(folder / CONFIG)
    if not isinstance(config.get("peft_type"), str):
        raise WorkbenchError(f"{folder / CONFIG} names no peft_type, so it is no adapter's.")
    if not (folder / WEIGHTS).exists():
        if (folder / _PICKLE).exists():
            raise WorkbenchError(
                f"The weights of the adapter in {folder} are in a pickle file ({_PICKLE}), which "
                "can run code when it is loaded.",
                "Save it again in safetensors where it comes from: save_pretrained does so.",
            )
        raise WorkbenchError(
            f"The adapter in {folder} is half-written: it has no {WEIGHTS}.", _AGAIN
        )
    tensors = read_header(folder / WEIGHTS)[0]
    if not tensors:
        raise WorkbenchError(f"{folder / WEIGHTS} holds no tensor.", _AGAIN)
    named = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    return Adapter(folder, config, named)


def read_header(path: Path) -> tuple[dict[str, Tensor], int]:
    """The tensors of a safetensors file by name, in the order of its bytes, and where those begin.

    Raises WorkbenchError for a file that is none, or shorter or longer than its header says.
    """
    broken = WorkbenchError(f"{path} is no file of safetensors, or half of one.", _AGAIN)
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(LENGTH), "little")
            if not 0 < length <= LONGEST_HEADER:
                raise broken
            body = json.loads(stream.read(length))
        size = path.stat().st_size
        tensors = {name: _tensor(about) for name, about in body.items() if name != "__metadata__"}
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise broken from error
    begin = LENGTH + length
    wanted = begin + max((tensor.end for tensor in tensors.values()), default=0)
    if size != wanted:
        raise WorkbenchError(
            f"{path} is half-written: it has {size:,} bytes, and its header speaks of {wanted:,}.",
            _AGAIN,
        )
    return dict(sorted(tensors.items(), key=lambda item: item[1].begin)), begin


def _tensor(about: Any) -> Tensor:
    begin, end = about["data_offsets"]
    if not is_shape(about["shape"]) or not 0 <= begin <= end:
        raise ValueError("no tensor")
    return Tensor(tuple(about["shape"]), str(about["dtype"]), begin, end)


def _whole_number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
