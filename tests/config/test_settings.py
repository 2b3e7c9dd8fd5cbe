from __future__ import annotations

from typing import Any

import pytest

from workbench.config import loading
from workbench.errors import WorkbenchError


def set_to(setting: str) -> Any:
    """The value of the one field that a setting sets."""
    return loading.value_at(loading.default_config([setting]), setting.partition("=")[0])


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("training.learning_rate=2e-4", 0.0002),
        ("training.learning_rate=1E-5", 0.00001),
        ("training.epochs=3", 3.0),
        ("data.train_rows=null", None),
        ("data.train_rows=", None),
        ("data.train_rows=100", 100),
        ("lora.target_modules=[q_proj, v_proj]", ["q_proj", "v_proj"]),
        ("lora.target_modules=q_proj,v_proj", ["q_proj", "v_proj"]),
        ("lora.target_modules=q_proj", ["q_proj"]),
        ("lora.target_modules=all-linear", "all-linear"),
        ("lora.target_modules=.*_proj", ".*_proj"),
        ("lora.target_modules=mlp", "mlp"),
        ("lora.modules_to_save=lm_head,embed_tokens", ["lm_head", "embed_tokens"]),
        ("lora.modules_to_save=[lm_head, 'norm']", ["lm_head", "norm"]),
        ("lora.modules_to_save=", []),
        ("model.new_tokens=<a>, </a>", ["<a>", "</a>"]),
        ("model.new_tokens=['a, b']", ["a, b"]),
        ("model.new_tokens=[]", []),
        ("training.micro_batch=auto", "auto"),
        ("training.micro_batch=", None),
        ("data.mixture={chat: 0.7, qa: 3}", {"chat": 0.7, "qa": 3.0}),
        ("data.mixture=chat@ab12=0.7, qa=3", {"chat@ab12": 0.7, "qa": 3.0}),
        ("data.mixture=", {}),
        ("data.mixture={}", {}),
        ("model.double_quantization=false", False),
        ("data.dataset=", ""),
        ("name=2024", "2024"),
        ("name=true", "true"),
        ("name=1e5", "1e5"),
        ("name='quoted'", "quoted"),
        ("model.base=C: d", "C: d"),
        ("model.base=[half", "[half"),
        ("model.base=/models/a #1", "/models/a #1"),
        ("model.base=- a", "- a"),
    ],
)
def test_a_setting_is_read_as_its_field_needs_it(setting: str, value: Any) -> None:
    assert set_to(setting) == value


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("lora.rank", "is no setting"),
        ("=8", "is no setting"),
        ("lora.rnak=3", r"lora\.rnak: there is no such field\. Did you mean lora\.rank\?"),
        ("lr=3", r"Did you mean training\.learning_rate"),
        ("training.learning_rate=fast", r"training\.learning_rate: .*number"),
        ("training.learning_rate=2e", r"training\.learning_rate: .*number"),
        ("training.learning_rate=.nan", r"training\.learning_rate"),
        ("training.max_gradient_norm=.inf", r"training\.max_gradient_norm"),
        ("lora.rank=[8", r"lora\.rank: .*whole number"),
        ("lora.rank=8.5", r"lora\.rank: .*whole number"),
        ("lora=8", r"lora: it has fields of its own"),
        (
            "lora.target_modules=(q_proj",
            r"'\(q_proj' is read as a regular .*: missing \), unt.*; g",
        ),
        ("lora.target_modules=[]", r"lora\.target_modules: give all-linear, attention, mlp, or"),
        ("model.new_tokens=<a>,<a>", r"model\.new_tokens: name each token once"),
        ("lora.modules_to_save=[1]", r"lora\.modules_to_save"),
        ("name.first=x", r"name: "),
        ("name=\udce9", r"name: "),
    ],
)
def test_a_setting_that_can_t_be_is_refused_by_its_path(setting: str, reason: str) -> None:
    with pytest.raises(WorkbenchError, match=reason):
        loading.default_config([setting])


@pytest.mark.parametrize(
    ("settings", "path", "other"),
    [
        (["training.method=full", "model.quantization=int8"], "training.method", "int8"),
        (["lora.initialisation=pissa", "model.quantization=nf4"], "lora.initialisation", "nf4"),
        (["lora.initialisation=olora", "model.quantization=int8"], "lora.initialisation", "int8"),
        (
            ["lora.initialisation=orthogonal", "model.quantization=fp4"],
            "lora.initialisation",
            "fp4",
        ),
        (
            ["lora.initialisation=orthogonal", "lora.rank=7"],
            "lora.initialisation",
            "lora.rank is 7",
        ),
        (["model.compute_dtype=float32"], "model.compute_dtype", "model.quantization is none"),
        (["model.upcast=true"], "model.upcast", "model.quantization is none"),
        (["evaluation.patience=2"], "evaluation.patience", "evaluation.every is 0"),
        (
            ["lora.target_modules=q_proj,lm_head", "lora.modules_to_save=lm_head"],
            "lora.modules_to_save",
            "lm_head would be trained whole, and lora.target_modules gives it an adapter",
        ),
        (
            ["lora.target_modules=q_proj,v_proj", "lora.modules_to_save=layers.0.self_attn.q_proj"],
            "lora.modules_to_save",
            "lora.target_modules gives it an adapter",
        ),
    ],
)
def test_fields_that_can_t_go_together_are_refused_by_both_names(
    settings: list[str], path: str, other: str
) -> None:
    with pytest.raises(loading.ConfigError) as caught:
        loading.default_config(settings)
    (problem,) = caught.value.problems
    assert problem.path == path and other in problem.text and problem.text.endswith(".")
    assert problem.text.count("..") == 0
