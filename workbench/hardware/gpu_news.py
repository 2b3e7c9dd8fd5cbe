"""What has happened to the GPUs between two samples that a person should be told of."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.hardware.gpu import STATES, Gpu

_XIDS = {
    13: "a kernel read or wrote where it must not, as a rule a program's fault",
    31: "a page fault: a program used memory that it doesn't have",
    43: "a program on it was ended after a fault",
    45: "a program on it was ended",
    48: "an uncorrectable memory error (double bit)",
    61: "its own controller stopped",
    62: "its own controller halted",
    63: "a bad row of memory will be replaced at the next reset",
    64: "a bad row of memory could not be replaced",
    74: "an error on NVLink",
    79: "it has fallen off the bus",
    92: "many corrected memory errors",
    94: "an uncorrectable memory error that only one program suffers from",
    95: "an uncorrectable memory error: all programs on it suffer",
    119: "its own processor (GSP) doesn't answer",
    120: "its own processor (GSP) has failed",
    140: "an unrecovered memory error",
}
"""What the fault codes mean that trainings meet, by NVIDIA's "Xid Errors" (docs.nvidia.com,
deploy/xid-errors)."""


def xid(code: int) -> str:
    """A fault code in words: `Xid 79: it has fallen off the bus`."""
    return f"Xid {code}" + (f": {_XIDS[code]}" if code in _XIDS else "")


def news(before: Sequence[Gpu] | None, now: Sequence[Gpu]) -> list[str]:
    """Sentences on faults, memory errors, and GPUs that are lost or there again since `before`,
    which is None for the first sample."""
    known = {(gpu.index, gpu.mig): gpu for gpu in before or ()}
    return [
        f"{gpu.label}: {text}."
        for gpu in now
        for text in _of(known.get((gpu.index, gpu.mig)), gpu, first=before is None)
    ]


def _of(before: Gpu | None, now: Gpu, *, first: bool) -> list[str]:
    told = [xid(code) for code in now.xids or ()]
    state = before.state if before else ""
    if now.state != state:
        told.append(STATES.get(now.state) or "it answers again")
    old = before.ecc_uncorrected if before else None
    if not first and old is not None and (now.ecc_uncorrected or 0) > old:
        more = (now.ecc_uncorrected or 0) - old
        told.append(f"{more} uncorrectable memory error{'s' * (more > 1)} (ECC)")
    return told
