"""How many operations a second a machine reaches, as far as that can be said without trying.

Of GPUs the vendor's peak by name, of which a share is reached; of processors what their vector
units could do. Both are ranges: the figure that holds here comes with the first run.
"""

from __future__ import annotations

from dataclasses import dataclass

TERA, GIGA = 1e12, 1e9

_PEAKS: tuple[tuple[str, float, float], ...] = (
    # Part of the name that the driver gives, the first that is found; dense TFLOP/s in bfloat16
    # with sums in float32, and in float32 without tensor cores. NVIDIA's datasheets and
    # architecture whitepapers; half of what they give "with sparsity".
    ("B200", 2250, 75),
    ("GH200", 989, 67),
    ("H200 NVL", 836, 60),
    ("H200", 989, 67),
    ("H100 NVL", 835, 60),
    ("H100 PCIe", 756, 51),
    ("H100", 989, 67),
    ("H800", 989, 67),
    ("H20", 148, 44),
    ("A100", 312, 19.5),
    ("A800", 312, 19.5),
    ("A40", 149.7, 37.4),
    ("A30", 165, 10.3),
    # Amazon's own, with less power: 70 in float16 (the instance type's page).
    ("A10G", 70, 31.2),
    ("A10", 125, 31.2),
    ("L40S", 362, 91.6),
    ("L40", 181, 90.5),
    ("L4", 121, 30.3),
    ("RTX 6000 Ada", 364, 91.1),
    ("RTX A6000", 154.8, 38.7),
    ("RTX A5000", 111, 27.8),
    ("RTX 5090", 209.5, 104.8),
    ("RTX 4090", 165.2, 82.6),
    ("RTX 4080", 97.5, 48.7),
    ("RTX 3090 Ti", 80, 40),
    ("RTX 3090", 71, 35.6),
    ("RTX 3080", 59.5, 29.8),
    # Before Ampere there is no bfloat16: runs are in float32.
    ("V100", 0, 15.7),
    ("T4", 0, 8.1),
)
REACHED = (0.3, 0.9)
"""Shares of the peak between which the operations of `config.flops` are done in batches of
thousands of tokens. Derived from published rates: Llama-3.2-3B on an A100 at 4,096 tokens, packed,
0.5 without and 0.65 with torch.compile, Llama-3.1-8B on a 4090, whose clock goes beyond the
datasheet's, 0.86 (torchtune's README); PEFT's MetaMathQA benchmark on an L40S, batches of 840
tokens, 0.25 with the launching of kernels, which is told apart here. `tests/config/test_duration`
holds them against the forecast."""
LAUNCHING = (0.3e-3, 4e-3)
"""Seconds that a layer's forward and backward pass takes at least, however few its tokens: some 200
kernels are launched one by one. Our own bounds: a batch of some 100 tokens takes LitGPT 4.4 ms a
layer of Llama-2-7B, all included (its tutorial on LoRA), and PEFT's benchmark up to 2.3."""
_A_CORE = {
    "amx_bf16": (15, 1000),
    "avx512_bf16": (12, 350),
    "avx512f": (10, 220),
    "avx2": (8, 100),
    "": (0.5, 30),
}
"""GFLOP/s of a processor as the system counts them, by the best vector unit that the run can use:
from what is left of a core that is shared (two threads to a core, other programs) to the unit's
peak at some 3.5 GHz. Our own assumption, and as wide as that; SmolLM2-135M reaches 25 to 65 with
AVX2 (docs/forecast.md)."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Operations a second, between two bounds."""

    low: float
    high: float
    why: str
    """In words."""
    measured: bool = False
    """Of steps that were taken, with all that goes on beside their operations."""
    padded: bool = False
    """Of padded batches, whose padding isn't in the operations that were counted."""


def of_gpu(name: str, dtype: str) -> Speed | None:
    """Of one GPU by the name that its driver gives; None for one that isn't known."""
    # `NVIDIA GeForce RTX 4090 Laptop GPU` is another one, with less power.
    if "Laptop" in name or "Max-Q" in name:
        return None
    padded = f" {name.replace('-', ' ')} "
    for part, half, single in _PEAKS:
        peak = single if dtype == "float32" else half
        if f" {part} " in padded:
            if not peak:
                return None
            low, high = (share * peak * TERA for share in REACHED)
            why = (
                f"{REACHED[0]:.0%} to {REACHED[1]:.0%} of {part}'s {peak:,.0f} TFLOP/s in {dtype} "
                "(NVIDIA's datasheet; shares by published rates)"
            )
            return Speed(low, high, why)
    return None


def of_processor(count: int, vectors: str, dtype: str) -> Speed:
    """Of `count` processors whose best vector unit is `vectors`, by the kernel's name of it."""
    if dtype == "float32" and vectors in ("amx_bf16", "avx512_bf16"):
        vectors = "avx512f"
    low, high = (count * GIGA * rate for rate in _A_CORE.get(vectors, _A_CORE[""]))
    named = vectors.replace("_", "-").upper() or "no vector units that are known"
    why = (
        f"{low / GIGA:,.0f} to {high / GIGA:,.0f} GFLOP/s are assumed of {count} processors with "
        f"{named}; the first run here will tell"
    )
    return Speed(low, high, why)
