"""Where attention goes: torch's varlen kernels where they take it, and out of what is compiled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.harness import CPU, encode
from tests.training.test_loss import PAD, a_row
from tests.training.test_packing import assert_close, gradients, with_adapter
from workbench.errors import WorkbenchError
from workbench.training import attention, checks, ready
from workbench.training.batches import Layout, collate, common_beginning
from workbench.training.loss import TrainedTokenLoss


def on_gpu(width: int, dtype: torch.dtype = torch.bfloat16) -> Any:
    """What is asked of a tensor with heads of that width: there is no GPU here."""
    return SimpleNamespace(shape=(1, 4, 9, width), dtype=dtype, is_cuda=True, device="cuda")


@pytest.mark.parametrize(
    ("query", "value", "capability", "fits"),
    [
        (on_gpu(128), on_gpu(128), (8, 0), True),
        (on_gpu(256, torch.float16), on_gpu(256, torch.float16), (9, 0), True),
        (on_gpu(192), on_gpu(128), (9, 0), False),
        (on_gpu(512), on_gpu(512), (9, 0), False),
        (on_gpu(20), on_gpu(20), (9, 0), False),
        (on_gpu(128), on_gpu(128), (7, 5), False),
        (on_gpu(128, torch.float32), on_gpu(128, torch.float32), (9, 0), False),
        (torch.zeros(1, 4, 9, 128), torch.zeros(1, 4, 9, 128), (9, 0), False),
    ],
    ids=["usual", "widest", "DeepSeek", "Gemma", "odd", "Turing", "float32", "processor"],
)
def test_varlen_attention_is_given_what_its_kernels_take(
    query: Any, value: Any, capability: tuple[int, int], fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    assert attention._fits_varlen(query, value) is fits


@pytest.mark.parametrize("window", [None, 3])
def test_values_may_be_narrower_than_queries_and_keys_fewer(window: int | None) -> None:
    """As in DeepSeek's family: held against softmax(q k') v by hand."""
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 4, 8, 6), torch.randn(1, 2, 8, 6), torch.randn(1, 2, 8, 4)
    segments = attention.Segments((5, 3), (), torch.tensor([0, 5, 8], dtype=torch.int32))
    out, _ = attention.segment_attention(
        nn.Module(), query, key, value, None, sliding_window=window, segments=segments
    )
    key, value = (x.repeat_interleave(2, dim=1) for x in (key, value))
    distance = torch.arange(8)[:, None] - torch.arange(8)[None, :]
    seen = (distance >= 0) & (distance < (window or 8))
    seen[5:, :5] = False
    scores = (query @ key.transpose(2, 3) / 6**0.5).masked_fill(~seen, float("-inf"))
    torch.testing.assert_close(out, (scores.softmax(-1) @ value).transpose(1, 2))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("no kernel for heads of 512"), "no kernel for heads of 512"),
        (torch.OutOfMemoryError("CUDA out of memory."), None),
    ],
)
def test_a_kernel_that_fails_is_a_reason_to_pad_and_a_lack_of_memory_is_none(
    base: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str | None
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(attention, "_by_segment", fail)
    adapted = with_adapter(base)
    if reason is None:
        with pytest.raises(torch.OutOfMemoryError):
            checks.pack(adapted, [a_row(60)], PAD)
    else:
        assert reason in checks.pack(adapted, [a_row(60)], PAD)
    assert adapted.config._attn_implementation != attention.NAME


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every graph that is compiled, run as it is: no compiler is needed, and few seconds."""
    found: list[Any] = []
    real = nn.Module.compile

    def keep(graph: Any, inputs: Any) -> Any:
        found.append(graph)
        return graph.forward

    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: real(self, backend=keep, **how))
    # Where torch gives up after eight graphs of one function, it raises.
    limited: Any = torch._dynamo.config
    torch._dynamo.reset()
    with limited.patch(fail_on_recompile_limit_hit=True):
        yield found
    torch._dynamo.reset()


@pytest.mark.parametrize("packed", [True, False])
def test_what_is_compiled_serves_every_batch(base: Path, graphs: list[Any], packed: bool) -> None:
    """The first layer's input has no gradient and the others' has: a graph each of what lies
    before, between and behind the attention, and none for other lengths or counts of rows."""
    rows = encode(base, 12)
    adapted = with_adapter(base)
    assert not packed or checks.pack(adapted, rows, PAD) == ""
    layouts = [
        Layout(12, 400, PAD, packed, beginning) for beginning in ((), common_beginning(rows))
    ]
    batches = [
        collate(rows, list(range(count)), layout, CPU)
        for count in range(2, 12)
        for layout in layouts
    ]
    measure = TrainedTokenLoss(adapted).train()
    plain = [(sums := measure(batch), gradients(adapted, sums.sum())) for batch in batches]
    ready._compile_layers(adapted)
    for batch, (losses, theirs) in zip(batches, plain, strict=True):
        sums = measure(batch)
        torch.testing.assert_close(sums, losses, rtol=1e-5, atol=1e-5)
        assert_close(gradients(adapted, sums.sum()), theirs)
    assert 2 <= len(graphs) <= 8


def test_wrong_gradients_of_what_is_compiled_are_found(
    base: Path, graphs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = encode(base, 3)
    adapted = with_adapter(base)
    ready._compile_layers(adapted)
    layout = Layout(1, max(map(len, rows)), PAD, packed=False)
    checks.check_compiled(adapted, rows, layout)
    real = torch.autograd.grad
    grads: list[Any] = []

    def halved_at_first(*given: Any) -> Any:
        grads.append(real(*given))
        return [gradient / 2 for gradient in grads[0]] if len(grads) == 1 else grads[-1]

    monkeypatch.setattr("torch.autograd.grad", halved_at_first)
    with pytest.raises(WorkbenchError, match=r"wrong gradients of this model: they are 50\.0% off"):
        checks.check_compiled(adapted, rows, layout)
    assert graphs
