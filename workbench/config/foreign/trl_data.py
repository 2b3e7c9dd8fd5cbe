"""TRL's datasets: `dataset_name`, or a list in `datasets`."""

from __future__ import annotations

from workbench.config.foreign import datasets as data
from workbench.config.foreign.rules import is_off
from workbench.config.foreign.sources import Setting
from workbench.config.foreign.taking import NO_RESULT, Taking

_OF_NAME = ("dataset_config", "dataset_train_split", "dataset_test_split", "dataset_text_field")


def datasets(taking: Taking) -> None:
    """data.dataset, and the command that imports it."""
    held_out = data.held_out(taking, "test_split_size")
    listed, named = taking.setting("datasets"), taking.setting("dataset_name")
    if listed is not None and isinstance(listed.value, list):
        if named is not None:
            taking.doubt(named, "datasets stands beside it, and counts.")
        wanted = _listed(taking, listed)
    elif named is not None:
        name = taking.read(named, "text")
        wanted = [] if name is NO_RESULT else [_named(taking, named, str(name), held_out)]
    else:
        wanted = []
    for key in _OF_NAME:
        if setting := taking.setting(key):
            taking.idle(setting, "without a dataset_name it says nothing")
    data.take(taking, wanted, held_out)


def _named(taking: Taking, setting: Setting, name: str, held_out: list[str]) -> data.Wanted:
    config, train = taking.setting("dataset_config"), taking.setting("dataset_train_split")
    test, text = taking.setting("dataset_test_split"), taking.setting("dataset_text_field")
    beside, options = taking.source.path.parent, list[str]()
    about = str(config.value) if config else ""
    origin = data.hub_or_file(
        name, beside, config=about, split=str(train.value) if train else "train"
    )
    for part in filter(None, (config, train)):
        taking.ours(part, f"it is in what is imported: {origin}")
    evaluates = not is_off(taking.value("eval_strategy", "evaluation_strategy"))
    split = str(test.value) if test else "test"
    if evaluates and origin.startswith("hub:") and not held_out:
        held_out += [
            "--validation-file",
            data.hub_or_file(name, beside, config=about, split=split),
        ]
        if test:
            taking.ours(test, "--validation-file of the import")
        else:
            taking.default("dataset_test_split", "test", {}, "--validation-file of the import")
    elif test:
        taking.idle(test, "nothing is evaluated there")
    if text and str(text.value) not in ("text", "messages"):
        options = ["--map", f"text={text.value}"]
        taking.ours(text, "of plain texts: --map text=… of the import")
    elif text:
        taking.idle(text)
    return data.Wanted(setting, data.name_of(origin), [origin], options)


def _listed(taking: Taking, listed: Setting) -> list[data.Wanted]:
    wanted = []
    parts = {part.key: part for part in taking.split(listed)}
    for number, entry in enumerate(listed.value):
        if not isinstance(entry, dict):
            taking.wrong(parts[f"datasets[{number}]"], "it is an entry with a `path`.")
            continue
        of = {
            k.rpartition(".")[2]: p
            for k, p in parts.items()
            if k.startswith(f"datasets[{number}].")
        }
        path = of.pop("path", None)
        if path is None:
            taking.warn("An entry of its datasets has no path.")
            continue
        origin = data.hub_or_file(
            str(path.value),
            taking.source.path.parent,
            config=str(entry.get("name") or ""),
            split=str(entry.get("split") or "train"),
        )
        files = entry.get("data_files")
        origins = files if isinstance(files, list) else [str(files)] if files else [origin]
        for key, part in of.items():
            if is_off(part.value):
                taking.idle(part)
            elif key in ("name", "split", "data_files"):
                taking.ours(part, "it is in what is imported")
            else:
                taking.missing(
                    part, "`workbench data import` takes all columns; --map says which is what"
                )
        wanted.append(data.Wanted(path, data.name_of(str(path.value)), [str(o) for o in origins]))
    return wanted
