from __future__ import annotations

import shutil
from pathlib import Path

from tests.trained import Trained
from workbench.export.request import export_adapter
from workbench.tracking import card, manifest


def test_an_exported_adapter_s_card_has_the_figures_of_its_evaluation(
    trained_run: Trained, tmp_path: Path
) -> None:
    text = (export_adapter(trained_run.run, tmp_path / "out") / card.CARD).read_text()
    assert "| exact match | 0.0000 [0.0000, 0.5615] | 1.0000 [0.4385, 1.0000] |" in text
    assert "| exact match |" not in (trained_run.run / "adapter" / card.CARD).read_text()


def test_the_default_model_is_not_passed_off_as_the_hub_s(
    trained_run: Trained, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained_run.run, tmp_path / "ws" / "runs" / "small-0001"))
    manifest.update(run, base={**manifest.read(run)["base"], "name": "default"})
    card.write(run, tmp_path)
    text = (tmp_path / card.CARD).read_text()
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct" in text
    assert "a LoRA adapter of SmolLM2-135M-Instruct" in text
    assert "unpacked from a 4-bit GGUF file" in text and "Licence of the base: Apache-2.0" in text
