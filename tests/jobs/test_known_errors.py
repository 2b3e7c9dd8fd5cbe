"""What the libraries say on machines with GPUs, in the words of several of their versions."""

from __future__ import annotations

import errno
import os

import pytest

from workbench.jobs.events import Failed
from workbench.jobs.failure import explain
from workbench.jobs.known_errors import recognise

TAIL = (
    " If reserved but unallocated memory is large try setting {setting} to avoid fragmentation.  "
    "See documentation for Memory Management  (https://pytorch.org/docs/stable/notes/cuda.html"
    "#environment-variables)"
)
TORCH_2_13 = TAIL.format(setting="PYTORCH_ALLOC_CONF=expandable_segments:True")
TORCH_2_8 = TAIL.format(setting="PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True")


def short(words: str) -> Failed:
    failure = recognise(words, "ADVICE.")
    assert failure is not None and failure.cause == "out_of_gpu_memory"
    return failure


def test_what_was_asked_for_free_and_held_is_told() -> None:
    failure = short(
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.25 GiB. GPU 1 has a total "
        "capacity of 79.15 GiB of which 512.00 MiB is free. Including non-PyTorch memory, this "
        "process has 78.65 GiB memory in use. Of the allocated memory 78.02 GiB is allocated by "
        "PyTorch, with 1.00 GiB allocated in private pools (e.g., CUDA Graphs), and 120.50 MiB is "
        f"reserved by PyTorch but unallocated.{TORCH_2_13}"
    )
    assert failure.text == (
        "Out of GPU memory: 2.2 GiB was asked for, and 512 MiB of GPU 1's 79.2 GiB was free. "
        "This process held 78.7 GiB."
    )
    assert failure.hint == "ADVICE."


def test_other_processes_are_named_and_blamed_where_it_would_fit_without_them() -> None:
    words = (
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.50 GiB "
        "of which 1.50 GiB is free. Process 4242 has 4.00 GiB memory in use. Including "
        "non-PyTorch memory, this process has 17.75 GiB memory in use. Process 4243 has 256.00 "
        "MiB memory in use. Of the allocated memory 17.00 GiB is allocated by PyTorch, and 60.00 "
        f"MiB is reserved by PyTorch but unallocated.{TORCH_2_8}"
    )
    failure = short(words)
    assert failure.text.endswith("held 17.8 GiB, others 4.2 GiB (pid 4242, 4243).")
    assert failure.hint.startswith("Without the others it would have fitted: take a GPU of its")
    # Small ones, such as other ranks, change nothing.
    assert short(words.replace("4.00 GiB memory", "8.00 MiB memory")).hint == "ADVICE."


def test_in_a_container_the_process_itself_is_not_taken_for_another() -> None:
    failure = short(
        "CUDA out of memory. Tried to allocate 12.00 GiB. GPU 0 has a total capacity of 95.00 GiB "
        "of which 1.00 GiB is free. Process 608946 has 60.00 GiB memory in use. Process 734147 "
        "has 34.00 GiB memory in use. Of the allocated memory 33.00 GiB is allocated by PyTorch, "
        f"and 512.00 MiB is reserved by PyTorch but unallocated.{TORCH_2_13}"
    )
    assert failure.text.endswith("This process held 34.0 GiB, others 60.0 GiB (pid 608946).")


def test_memory_in_pieces_is_told_with_the_setting_that_this_torch_knows() -> None:
    words = (
        "CUDA out of memory. Tried to allocate 3.00 GiB. GPU 0 has a total capacity of 23.65 GiB "
        "of which 1.00 GiB is free. Including non-PyTorch memory, this process has 22.65 GiB "
        "memory in use. Of the allocated memory 17.00 GiB is allocated by PyTorch, and 5.00 GiB "
        "is reserved by PyTorch but unallocated."
    )
    failure = short(words + TORCH_2_13)
    assert failure.text.endswith("; 5.0 GiB of its own was in pieces too small.")
    assert failure.hint == (
        "PYTORCH_ALLOC_CONF=expandable_segments:True in the environment may be enough. ADVICE."
    )
    assert "PYTORCH_CUDA_ALLOC_CONF=" in short(words + TORCH_2_8).hint
    # It would not have fitted in one piece either.
    assert short(words.replace("allocate 3.00", "allocate 7.00") + TORCH_2_13).hint == "ADVICE."


@pytest.mark.parametrize(
    "words",
    [
        # torch 2.1, with its slip of the pen, and torch 2.0.
        "CUDA out of memory. Tried to allocate 3.00 GiB. GPU 0 has a total capacty of 8.00 GiB of "
        "which 1.00 GiB is free. Including non-PyTorch memory, this process has 7.00 GiB memory "
        "in use. Of the allocated memory 4.00 GiB is allocated by PyTorch, and 3.00 GiB is "
        "reserved by PyTorch but unallocated.",
        "CUDA out of memory. Tried to allocate 3.00 GiB (GPU 0; 8.00 GiB total capacity; 4.00 GiB "
        "already allocated; 1.00 GiB free; 7.00 GiB reserved in total by PyTorch) If reserved "
        "memory is >> allocated memory try setting max_split_size_mb to avoid fragmentation.",
    ],
)
def test_earlier_wordings_say_the_same(words: str) -> None:
    assert short(words).text == (
        "Out of GPU memory: 3.0 GiB was asked for, and 1.0 GiB of GPU 0's 8.0 GiB was free. This "
        "process held 7.0 GiB; 3.0 GiB of its own was in pieces too small."
    )


@pytest.mark.parametrize(
    "words",
    [
        "AcceleratorError: CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "Error out of memory at line 380 in file /src/csrc/pythonInterface.cpp",
        "ncclUnhandledCudaError: Call to CUDA function failed.\nCuda failure 2 'out of memory'",
        "torch.cuda.OutOfMemoryError: CUDA out of memory.",
    ],
)
def test_a_lack_without_figures_is_a_lack_all_the_same(words: str) -> None:
    assert short(words).hint == "ADVICE."


@pytest.mark.parametrize(
    ("words", "cause", "told"),
    [
        (
            "RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: "
            "can't allocate memory: you tried to allocate 51539607552 bytes. Error code 12",
            "out_of_host_memory",
            "The machine's memory ran out: 48.0 GiB was asked for at once.",
        ),
        ("  what():  std::bad_alloc", "out_of_host_memory", "The machine's memory ran out."),
        (
            "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 3.64 TiB for an array",
            "out_of_host_memory",
            "The machine's memory ran out.",
        ),
        (
            "AcceleratorError: CUDA error: device-side assert triggered\nSearch for",
            "error",
            "A check in a CUDA kernel failed (device-side assert); most often a token id is "
            "outside the base model's vocabulary.",
        ),
        (
            "CUDA error: unspecified launch failure\nCUDA kernel errors might be",
            "gpu_fault",
            "The GPU failed: unspecified launch failure.",
        ),
        (
            "CUDA error: uncorrectable ECC error encountered",
            "gpu_fault",
            "The GPU met an error in its own memory or links that it can't correct.",
        ),
        (
            "RuntimeError: CUDA error: no kernel image is available for execution on the device",
            "error",
            "This torch was not built for this GPU.",
        ),
        (
            "RuntimeError: No CUDA GPUs are available",
            "error",
            "The GPU that it was to use is not there.",
        ),
        (
            "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
            "error",
            "The GPU is taken: another process has it for itself alone, or it is in a bad state.",
        ),
        (
            "[rank1]:[E1124 02:07:08.40 ProcessGroupNCCL.cpp:607] [Rank 1] Watchdog caught "
            "collective operation timeout: WorkNCCL(SeqNum=15, OpType=ALLREDUCE, NumelIn=4, "
            "NumelOut=4, Timeout(ms)=600000) ran for 600060 milliseconds before timing out.",
            "lost_rank",
            "A rank waited 600 s for the others (ALLREDUCE) and gave up: one of them hangs, or "
            "is gone.",
        ),
        (
            "DistBackendError: NCCL error in: /torch/csrc/distributed/c10d/NCCLUtils.hpp:268, "
            "remote process exited or there was a network error, NCCL version 2.27.3",
            "lost_rank",
            "A rank lost its connection to another, which has ended or can't be reached.",
        ),
        (
            "DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp"
            ":1331, unhandled system error (run with NCCL_DEBUG=INFO for details), NCCL version 2",
            "lost_rank",
            "The ranks can't reach each other: NCCL says unhandled system error.",
        ),
        (
            "RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error "
            "[127.0.0.1]:4305: Connection reset by peer. This is typically caused by a remote",
            "lost_rank",
            "A rank lost its connection to another, which has ended or can't be reached.",
        ),
        (
            "RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] "
            "Timed out waiting 1800000ms for recv operation to complete",
            "lost_rank",
            "A rank waited 1800 s for another and gave up: that one hangs, or is gone.",
        ),
        (
            "RuntimeError: unable to write to file </torch_77_0>: No space left on device (28)",
            "error",
            "The shared memory (/dev/shm) is used up.",
        ),
    ],
)
def test_other_errors_are_told_in_plain_words(words: str, cause: str, told: str) -> None:
    failure = recognise(words, "ADVICE.")
    assert failure is not None
    assert (failure.cause, failure.text) == (cause, told)
    assert failure.hint


def test_words_that_are_not_known_are_not_guessed_at() -> None:
    assert recognise("ValueError: the learning rate ran out of steps") is None


def test_an_exception_is_told_by_its_kind_and_words() -> None:
    with pytest.raises(MemoryError) as short_of:
        bytearray(1 << 62)
    assert explain(short_of.value).cause == "out_of_host_memory"
    failure = explain(KeyError("oops"))
    assert failure == Failed("error", "KeyError: 'oops'", "See stderr.log for where.")
    no_memory = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    assert explain(no_memory).cause == "out_of_host_memory"
