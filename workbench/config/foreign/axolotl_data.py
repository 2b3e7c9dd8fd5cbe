"""Axolotl's `datasets:` list: what imports each entry, and which of its fields are what."""

from __future__ import annotations

from typing import Any

from workbench.config.foreign import datasets as data
from workbench.config.foreign.sources import Setting
from workbench.config.foreign.taking import NO_RESULT, Taking

_LEFT = {
    "drop": "drop",
    "truncate": "truncate",
    "raise": "refuse",
}
_ALPACA = ("alpaca", "gpteacher", "alpaca_chat", "instruct", "context_qa", "reflection")
_ROLES = ("system", "user", "assistant", "tool")
_SAME: dict[str, tuple[Any, ...]] = {
    "ds_type": ("json", "jsonl", "csv", "parquet", "text"),
    "train_on_eos": ("turn", "all", "last"),
    "train_on_eot": ("turn", "all"),
    "chat_template": ("tokenizer_default",),
    "roles_to_train": (["assistant"], ["gpt"], ["gpt", "assistant"], ["assistant", "gpt"]),
}
_ADVICE = {
    "chat_template": "the base's own chat template is used",
    "chat_template_jinja": "the base's own chat template is used",
    "conversation": "the base's own chat template is used",
    "roles_to_train": "all turns of the assistant are trained, and no others",
    "message_field_training": "all turns of the assistant are trained; leave rows out instead",
    "message_field_training_detail": "all turns of the assistant are trained",
    "train_on_eos": "the end of each answer is trained",
    "train_on_eot": "the end of each answer is trained",
    "split": "a part of a split can't be named: import it all, and set data.train_rows",
    "shards": "import it all, and set data.train_rows",
    "shards_idx": "import it all, and set data.train_rows",
    "preprocess_shards": "import reads in a stream by itself",
    "drop_system_message": "`workbench data draft` or another file without the system turns",
    "trust_remote_code": "no code of a data set is run",
}


def lengths(taking: Taking) -> None:
    """How long a row may be, and what becomes of longer ones."""
    cutoff = taking.setting("sequence_len")
    if cutoff is None:
        taking.default("sequence_len", 512, {"data.max_length": 512})
    else:
        number = taking.read(cutoff, "int")
        sets = {"data.max_length": 512 if number is NO_RESULT else number}
        taking.values |= sets
        if number is not NO_RESULT:
            taking.take(cutoff, sets)
    longer = taking.setting("excess_length_strategy")
    if longer is None:
        taking.default("excess_length_strategy", "drop", {"data.too_long": "drop"})
    elif (name := str(longer.value).lower()) in _LEFT:
        taking.take(longer, {"data.too_long": _LEFT[name]})
    else:
        taking.wrong(longer, f"it is {', '.join(_LEFT)}.")


def datasets(taking: Taking) -> None:
    """data.dataset, and the import of each entry."""
    held_out = data.held_out(taking, "val_set_size")
    for key in ("pretraining_dataset", "test_datasets"):
        setting = taking.setting(key)
        if setting is not None and key == "test_datasets":
            held_out = _test_files(taking, setting)
    listed = taking.setting("datasets") or taking.setting("pretraining_dataset")
    if listed is None:
        data.take(taking, [], held_out)
        return
    entries = listed.value if isinstance(listed.value, list) else [listed.value]
    if not all(isinstance(entry, dict) for entry in entries):
        taking.wrong(listed, "it is a list of entries with `path` and `type`.")
        return
    is_plain = listed.key == "pretraining_dataset"
    parts = {part.key: part for part in taking.split(listed)}
    wanted = []
    for number, entry in enumerate(entries):
        at = f"{listed.key}[{number}]" if isinstance(listed.value, list) else listed.key
        of_entry = {
            key.removeprefix(f"{at}."): part
            for key, part in parts.items()
            if key.startswith(f"{at}.")
        }
        if is_plain and "type" in of_entry:
            taking.ours(of_entry.pop("type"), "plain texts are trained on whole")
        if found := _entry(taking, entry, of_entry, is_plain):
            wanted.append(found)
    note = "" if held_out else "it holds out a tenth for validation; --validation 0 holds out none"
    data.take(taking, wanted, held_out, note)


def _entry(
    taking: Taking, entry: dict[str, Any], parts: dict[str, Setting], is_plain: bool
) -> data.Wanted | None:
    path = parts.pop("path", None)
    if path is None or not str(path.value or "").strip():
        taking.warn("An entry of its datasets has no path.")
        return None
    origin = data.hub_or_file(
        str(path.value),
        taking.source.path.parent,
        config=str(entry.get("name") or ""),
        revision=str(entry.get("revision") or ""),
        split=str(entry.get("split") or "train").split("[")[0] or "train",
    )
    origins = [origin]
    for key in ("name", "revision"):
        if (part := parts.pop(key, None)) and part.value:
            taking.ours(part, f"it is in what is imported: {origin}")
    files = parts.pop("data_files", None)
    if files is not None and files.value:
        origins = files.value if isinstance(files.value, list) else [str(files.value)]
        taking.ours(files, "they are what is imported")
    elif files is not None:
        taking.idle(files)
    fields = ["text=" + str(entry.get("text_column") or "text")] if is_plain else []
    if is_plain and (part := parts.pop("text_column", None)) and part.value:
        taking.ours(part, "--map text=… of the import")
    fields += _mapping(taking, parts, entry)
    for part in parts.values():
        _other(taking, part)
    name = data.name_of(origins[0] if len(origins) == 1 else str(path.value))
    options = [word for field in fields for word in ("--map", field)]
    return data.Wanted(path, name, [str(o) for o in origins], options)


def _mapping(taking: Taking, parts: dict[str, Setting], entry: dict[str, Any]) -> list[str]:
    """The `NAME=FIELD` of the import. Takes `type` and the keys that name fields."""
    kind = parts.pop("type", None)
    name = kind.value if kind else None
    found: list[str] = []
    if isinstance(name, dict) and kind is not None:
        return _prompter(taking, kind, name)
    text = str(name or "").split(":")[0].split(".")[0].lower()
    if kind is not None and not name:
        taking.idle(kind)
    elif text == "completion" and kind is not None:
        field = str(entry.get("field") or "text")
        found.append(f"text={field}")
        taking.ours(kind, "plain texts are trained on whole, without a template")
    elif text in _ALPACA and kind is not None:
        taking.ours(
            kind,
            "instruction, input and output are known; the base's template lays "
            "them out, not Alpaca's own text",
        )
    elif text in ("chat_template", "sharegpt") and kind is not None:
        taking.ours(kind, "conversations, laid out by the base's own template")
        found += _turns(taking, parts, entry, text)
    elif kind is not None:
        taking.missing(
            kind,
            "its layout isn't known here: name the fields by --map, see "
            "`workbench data import --help`",
        )
    if field_part := parts.pop("field", None):
        taking.ours(field_part, "--map text=… of the import")
    return found


def _turns(
    taking: Taking, parts: dict[str, Setting], entry: dict[str, Any], kind: str
) -> list[str]:
    shared = kind == "sharegpt"
    names = {
        "messages": "conversations" if shared else "messages",
        "role": "from" if shared else "role",
        "content": "value" if shared else "content",
    }
    usual = dict(names)
    for key, name in (
        ("field_messages", "messages"),
        ("message_field_role", "role"),
        ("message_field_content", "content"),
    ):
        if (part := parts.pop(key, None)) is not None:
            if part.value:
                names[name] = str(part.value)
                taking.ours(part, f"--map {name}={part.value} of the import")
            else:
                taking.idle(part)
    properties = parts.pop("message_property_mappings", None)
    if properties is not None and isinstance(properties.value, dict):
        names |= {k: str(v) for k, v in properties.value.items() if k in ("role", "content")}
        taking.ours(properties, "--map role=… --map content=… of the import")
    elif properties is not None:
        taking.idle(properties)
    found = []
    if names != usual and (names["messages"], names["role"]) != ("conversations", "from"):
        found = [f"{name}={value}" for name, value in names.items()]
    roles = parts.pop("roles", None)
    if roles is not None and isinstance(roles.value, dict):
        known = {"user": ("user", "human"), "assistant": ("assistant", "gpt", "model")}
        for target, sources in roles.value.items():
            for source in sources if isinstance(sources, list) else [sources]:
                if target in _ROLES and source not in (target, *known.get(target, ())):
                    found.append(f"role.{target}={source}")
        if found and not any(f.startswith("messages=") for f in found):
            found = [f"{name}={value}" for name, value in names.items()] + found
        taking.ours(roles, "--map role.NAME=… of the import")
    elif roles is not None:
        taking.idle(roles)
    if (tools := parts.pop("field_tools", None)) is not None and tools.value:
        found.append(f"tools={tools.value}")
        taking.ours(tools, f"--map tools={tools.value} of the import")
    elif tools is not None:
        taking.idle(tools)
    return found


def _prompter(taking: Taking, kind: Setting, body: dict[str, Any]) -> list[str]:
    """A `type:` that names fields and a layout of its own."""
    found = []
    names = {
        "field_instruction": "prompt",
        "field_input": "context",
        "field_output": "response",
        "field_system": "system",
    }
    for part in taking.split(kind):
        key = part.key.rpartition(".")[2]
        if not part.value:
            taking.idle(part)
        elif key in names:
            found.append(f"{names[key]}={part.value}")
            taking.ours(part, f"--map {names[key]}={part.value} of the import")
        elif key == "system_prompt":
            taking.missing(part, "put the system turn into the rows")
        else:
            text = "the base's own chat template lays rows out"
            taking.missing(part, text)
    wanted = {"prompt": "instruction", "response": "output"}
    given = {text.partition("=")[0] for text in found}
    return [f"{n}={f}" for n, f in wanted.items() if n not in given] + found if body else []


def _other(taking: Taking, part: Setting) -> None:
    key = part.key.rpartition(".")[2]
    whole_split = key == "split" and "[" not in str(part.value)
    if not part.value or whole_split or part.value in _SAME.get(key, ()):
        taking.idle(part)
    else:
        taking.missing(part, _ADVICE.get(key, "see `workbench data import --help`"))


def _test_files(taking: Taking, setting: Setting) -> list[str]:
    """Files of their validation split, as options of the import."""
    entries = setting.value if isinstance(setting.value, list) else [setting.value]
    paths: list[str] = []
    for entry in entries:
        if isinstance(entry, dict) and entry.get("path"):
            files = entry.get("data_files") or data.hub_or_file(
                str(entry["path"]),
                taking.source.path.parent,
                config=str(entry.get("name") or ""),
                split=str(entry.get("split") or "train"),
            )
            paths += files if isinstance(files, list) else [str(files)]
    options = [word for path in paths for word in ("--validation-file", path)]
    taking.ours(setting, "they are --validation-file of the import")
    return options
