"""What comes before a run's base model is loaded: its inputs proved, its rows encoded.

Without peft, transformers and bitsandbytes: who only makes a run ready for its ranks imports this
in half of the time.
"""

from __future__ import annotations

from pathlib import Path

from workbench.config.schema import RunConfig
from workbench.data import versions
from workbench.data.template import ChatTemplate
from workbench.files import read_json_object
from workbench.jobs.control import Control
from workbench.jobs.events import Notice, Progress
from workbench.jobs.log import LogWriter
from workbench.tracking import inputs, runs
from workbench.training import encoding, gated
from workbench.training.token_cache import EncodedRows
from workbench.workspace import Workspace

Splits = tuple[EncodedRows, EncodedRows]
"""For training and for validation."""


def prove_inputs(folder: Path, log: LogWriter, control: Control) -> Splits:
    """The encoded rows of the run in `folder`, its inputs proved those that it began with, and
    judged before its first start.

    Raises Stopped when that was asked for meanwhile.
    """
    config = runs.load_config(folder)
    template = inputs.load_template(folder)
    log.write(Progress("hashing the data and the base model", 0, 1))
    inputs.pin(folder, template)
    _warn_of_length(config, inputs.base_folder(folder), log)
    control.end_if_asked(log, put_off=True)
    gated.pass_gate(folder, config, template, log, control)
    splits = encoded(folder, config, template, log, control)
    found = dict(zip(versions.SPLITS, (rows.digest() for rows in splits), strict=True))
    inputs.pin_tokens(folder, found)
    control.end_if_asked(log, put_off=True)
    return splits


def encoded(
    folder: Path, config: RunConfig, template: ChatTemplate, log: LogWriter, control: Control
) -> Splits:
    """The rows of a run, encoded; from the cache where they were encoded before."""
    log.write(Progress("encoding the data", 0, 1))
    return encoding.prepare(Workspace(folder.parent.parent), config, template, log, control)


def _warn_of_length(config: RunConfig, base: Path, log: LogWriter) -> None:
    context = read_json_object(base / "config.json").get("max_position_embeddings")
    if isinstance(context, int) and config.data.max_length > context:
        text = (
            f"data.max_length ({config.data.max_length} tokens) is over the longest context of "
            f"the base ({context}): what stands behind that in a row is at places it never saw."
        )
        log.write(Notice(text, "warning"))
