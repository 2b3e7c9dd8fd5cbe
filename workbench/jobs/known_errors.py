"""Errors of torch, CUDA, NCCL and the system by their own words: a cause, a sentence, a hint.

By words alone, since torch isn't imported here, and since a crash leaves nothing else. Patterns
are text until one is needed: to compile them all takes some milliseconds, and whoever looks at a
job's state imports this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbench.jobs.events import Failed
from workbench.text import size

MEMORY_ADVICE = (
    "Lower the batch size or data.max_length, set training.gradient_checkpointing, or hold the "
    "base in 4 bits (model.quantization=nf4)."
)

_AMOUNT = r"([\d.]+) (bytes|[KMGT]iB)"
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
# As torch writes it since 2.1 (with a slip of the pen at first), and wrote it before.
_GPU = rf"GPU (\d+) has a total capaci?ty of {_AMOUNT} of which {_AMOUNT} is free"
_GPU_BEFORE = rf"\(GPU (\d+); {_AMOUNT} total capacity;.*?{_AMOUNT} free;"
_ASKED = rf"(?:CUDA|HIP|XPU) out of memory\. Tried to allocate {_AMOUNT}"
_ALLOCATED = rf"{_AMOUNT} (?:is|already) allocated"
_UNUSED = rf"{_AMOUNT} is reserved by PyTorch but unallocated"
_RESERVED = rf"{_AMOUNT} reserved in total by PyTorch"
_OWN = rf"this process has {_AMOUNT} memory in use"
_OTHERS = rf"Process (\d+) has {_AMOUNT} memory in use"
_SETTING = r"\bPYTORCH_\w*ALLOC_CONF\b"
_NO_GPU_MEMORY = (
    r"CUDA out of memory|(?:CUDA|HIP)(?: driver| runtime)? error: out of memory"
    r"|Cuda failure.{0,6}'out of memory'|CU(?:BLAS|DNN|SOLVER|SPARSE)_STATUS_ALLOC_FAILED"
    r"|Error out of memory at line \d+ in file"
)
_NO_HOST_MEMORY = (
    r"(?m)DefaultCPUAllocator: (?:can't allocate|not enough) memory: you tried to allocate (\d+)"
    r"|std::bad_alloc|^(?:[\w.]+\.)?_?(?:Array)?MemoryError\b|Cannot allocate memory"
)


@dataclass(frozen=True, slots=True)
class _Known:
    words: str
    """A pattern."""
    cause: str
    text: str
    """With `{0}`, `{1}`… for the groups of `words`."""
    hint: str


_FAULT = (
    "A fault of a library, the driver or the GPU: `dmesg | grep Xid` may name it, and "
    "CUDA_LAUNCH_BLOCKING=1 in the environment names the call."
)
_DRIVER = "`workbench doctor` tells which GPU and driver are there."
_RANKS = "What the other rank said is in stderr.log; NCCL_DEBUG=INFO in the environment says more."
_KNOWN = (
    _Known(
        r"Watchdog caught collective operation timeout: WorkNCCL\(.*?OpType=(\w+).*?\) "
        r"ran for (\d+)\d{3} milliseconds",
        "lost_rank",
        "A rank waited {1} s for the others ({0}) and gave up: one of them hangs, or is gone.",
        _RANKS,
    ),
    _Known(
        r"Timed out waiting (\d+)\d{3}ms for (?:recv|send) operation",
        "lost_rank",
        "A rank waited {0} s for another and gave up: that one hangs, or is gone.",
        _RANKS,
    ),
    _Known(
        r"/gloo/transport/\w+/\w+\.cc:\d+\]|Dist(?:Network|Store)Error"
        r"|remote process exited or there was a network error",
        "lost_rank",
        "A rank lost its connection to another, which has ended or can't be reached.",
        _RANKS,
    ),
    _Known(
        r"device-side assert triggered",
        "error",
        "A check in a CUDA kernel failed (device-side assert); most often a token id is outside "
        "the base model's vocabulary.",
        "stderr.log has the check itself; CUDA_LAUNCH_BLOCKING=1 in the environment names the "
        "call. See that base model and tokenizer belong together.",
    ),
    _Known(
        r"uncorrectable (?:ECC|NVLink) error",
        "gpu_fault",
        "The GPU met an error in its own memory or links that it can't correct.",
        "`nvidia-smi -q -d ECC,ROW_REMAPPER` counts them; it needs a reset, or another GPU.",
    ),
    _Known(
        r"GPU is lost|fallen off the bus",
        "gpu_fault",
        "The GPU does not answer any more.",
        "`dmesg | grep Xid` may say why; the machine may need to be started anew.",
    ),
    _Known(
        r"no kernel image is available for execution",
        "error",
        "This torch was not built for this GPU.",
        f"Install a build of torch for it. {_DRIVER}",
    ),
    _Known(
        r"CUDA driver version is insufficient|The NVIDIA driver on your system is too old",
        "error",
        "The GPU's driver is too old for this torch.",
        f"Bring the driver up to date, or install a build of torch for it. {_DRIVER}",
    ),
    _Known(
        r"no CUDA-capable device is detected|No CUDA GPUs are available|invalid device ordinal",
        "error",
        "The GPU that it was to use is not there.",
        f"See CUDA_VISIBLE_DEVICES. {_DRIVER}",
    ),
    _Known(
        r"CUDA-capable device\(s\) is/are busy or unavailable",
        "error",
        "The GPU is taken: another process has it for itself alone, or it is in a bad state.",
        "`nvidia-smi` shows who is on it.",
    ),
    _Known(r"(?:CUDA|HIP) error: ([^\n]{1,200})", "gpu_fault", "The GPU failed: {0}.", _FAULT),
    _Known(
        r"NCCL error[^\n]*?:\d+, ([^\n(]+?)(?: \(run[^)]*\))?, NCCL version",
        "lost_rank",
        "The ranks can't reach each other: NCCL says {0}.",
        _RANKS,
    ),
    _Known(
        r"out of shared memory|unable to (?:open|resize|write to) [^\n]*</torch_",
        "error",
        "The shared memory (/dev/shm) is used up.",
        "Give it more, as with `docker run --shm-size 8g`.",
    ),
)


def recognise(words: str, memory_advice: str = MEMORY_ADVICE) -> Failed | None:
    """What an error's own words tell; None for words that aren't known.

    `memory_advice` is the hint where memory was short.
    """
    if re.search(_ASKED, words):
        return _out_of_gpu_memory(words, memory_advice)
    if re.search(_NO_GPU_MEMORY, words):
        text = "Out of GPU memory. How much was asked for and free, the library doesn't say."
        return Failed("out_of_gpu_memory", text, memory_advice)
    if short := re.search(_NO_HOST_MEMORY, words):
        asked = f": {size(int(short[1]))} was asked for at once" if short[1] else ""
        return Failed("out_of_host_memory", f"The machine's memory ran out{asked}.", memory_advice)
    for known in _KNOWN:
        if found := re.search(known.words, words):
            groups = [group or "" for group in found.groups()]
            return Failed(known.cause, known.text.format(*groups), known.hint)
    return None


def _out_of_gpu_memory(words: str, advice: str) -> Failed:
    """From torch's own account: what was asked for, what was free, and who held the rest."""
    gpu = re.search(_GPU, words) or re.search(_GPU_BEFORE, words)
    if gpu is None:
        return Failed("out_of_gpu_memory", f"Out of GPU memory. {words.splitlines()[0]}", advice)
    asked, total, free = _amount(_ASKED, words), _bytes(gpu[2], gpu[3]), _bytes(gpu[4], gpu[5])
    allocated = _amount(_ALLOCATED, words)
    unused = _amount(_UNUSED, words) or max(0, _amount(_RESERVED, words) - allocated)
    own, others = _holders(words, allocated + unused)
    text = (
        f"Out of GPU memory: {size(asked)} was asked for, and {size(free)} of GPU {gpu[1]}'s "
        f"{size(total)} was free. This process held {size(own)}"
    )
    hints = [advice]
    if others:
        pids = ", ".join(str(pid) for pid in others)
        text += f", others {size(sum(others.values()))} (pid {pids})"
        if free + sum(others.values()) >= asked:
            hints.insert(0, "Without the others it would have fitted: take a GPU of its own.")
    if unused and free + unused >= asked:
        text += f"; {size(unused)} of its own was in pieces too small"
        setting = re.search(_SETTING, words)
        name = setting[0] if setting else "PYTORCH_CUDA_ALLOC_CONF"
        hints.insert(0, f"{name}=expandable_segments:True in the environment may be enough.")
    return Failed("out_of_gpu_memory", f"{text}.", " ".join(hints))


def _holders(words: str, by_torch: int) -> tuple[int, dict[int, int]]:
    """Bytes that this process held on the GPU, and others by pid; `by_torch` is torch's part.

    In a container this process is listed as if it were another, by a pid that it doesn't know.
    """
    others = {int(pid): _bytes(n, unit) for pid, n, unit in re.findall(_OTHERS, words)}
    if own := _amount(_OWN, words):
        return own, others
    like_it = [pid for pid, held in others.items() if held >= by_torch]
    if not like_it:
        return by_torch, others
    itself = min(like_it, key=lambda pid: others[pid])
    return others.pop(itself), others


def _amount(pattern: str, words: str) -> int:
    """The bytes that `pattern` finds; 0 where it finds nothing."""
    found = re.search(pattern, words)
    return _bytes(found[1], found[2]) if found else 0


def _bytes(number: str, unit: str) -> int:
    return round(float(number) * _UNITS[unit])
