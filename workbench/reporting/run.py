"""The report of one run: what it is, on what it was trained, how that went, how well it came out,
with what doubt, and how to repeat it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.alarms.reading import Episode
from workbench.charts.units import BYTES
from workbench.config import fields
from workbench.config.section import weights_in_words
from workbench.evaluation import telling
from workbench.export.request import CERTIFICATE, read_request
from workbench.files import folder_size, read_json
from workbench.jobs.events import Evaluated, Skipped, Spiked
from workbench.redaction import redact
from workbench.reporting import curves, doubt, intervals
from workbench.reporting.found import Body, Found, readable
from workbench.reporting.page import Block, Code, Heading, Points, Table, told
from workbench.review.wording import report_lines
from workbench.tracking import comparison, figures, finding
from workbench.tracking.columns import NOTHING, at, paths, written
from workbench.tracking.view import duration

_PLACES = ("name", "data.dataset", "model.base")
"""Fields that are told elsewhere."""
_VALIDATIONS = 24
"""Validations that are listed; of more, the first and the last ones, and the best."""
_MOST = 20
"""Alarms that are listed."""
_WEIGHTS = (".safetensors", ".bin", ".gguf")


def blocks(found: Found) -> list[Block]:
    """The page of one run. What can't be told of it says so."""
    page: list[Block] = [Heading(f"Run {found.id}", 1), *readable(_head(found))]
    if found.missing:
        page += [Heading("What is missing"), Points(found.missing)]
    for title, make in (
        ("What was trained", _what),
        ("On what", _on_what),
        ("How it went", _how),
        ("How well", _how_well),
        ("With what doubt", _doubt),
        ("How to repeat it", _repeat),
    ):
        page += [Heading(title), *readable(make(found))]
    return page


def _head(found: Found) -> Iterator[Block]:
    line = found.summary
    text = redact(line.text)
    if created := found.made.get("created"):
        text += f" Asked for on {date(created)}, with workbench {found.made.get('workbench')}."
    yield text
    if line.tags:
        yield " ".join(f"#{tag}" for tag in line.tags)
    if line.notes:
        yield Points([f"{date(note['time'])}: {redact(note['text'])}" for note in line.notes])


def _what(found: Found) -> Iterator[Block]:
    base, model = found.section("base"), at(found.config, "model") or {}
    if not base:
        yield "Not known: there is no manifest that says so."
        return
    name = base["name"]
    points = [
        f"Base model: {name}" + (f" at commit {base['revision']}" if base.get("revision") else "")
    ]
    points += [
        f"{file}: SHA-256 {digest}"
        for file, digest in base.get("files", {}).items()
        if file.endswith(_WEIGHTS) or file == "chat_template.jinja"
    ]
    points.append(f"Method: {_method(found.config)}")
    if (made := finding.result(found.folder)) is not None:
        points.append(f"{made.name.capitalize()}: {made}, {BYTES.read(folder_size(made))}")
    if model.get("quantization", "none") != "none":
        points.append(f"Base held quantised: {model['quantization']}")
    points += _exports(found.folder)
    yield Points(points)
    yield from _settings(found.config)


def _method(config: Body) -> str:
    method = at(config, "training.method")
    lora = at(config, "lora") or {}
    if method == "full":
        return "all weights trained"
    named = (("rsLoRA", "rslora"), ("DoRA", "dora"))
    kinds = [title for title, name in named if lora.get(name)]
    kind = ", ".join(["LoRA" if method == "lora" else str(method), *kinds])
    return f"{kind}, rank {lora.get('rank')}, alpha {lora.get('alpha')}"


def _settings(config: Body) -> Iterator[Block]:
    """Fields of the config that are not as they are by default."""
    known = set(paths(config))
    rows = [
        [item.path, written(value), written(item.default)]
        for item in fields.fields()
        if item.path in known
        and item.path not in _PLACES
        and (value := at(config, item.path)) != item.default
    ]
    yield Heading("What differs from the defaults", 3)
    if rows:
        yield Table(["field", "value", "default"], rows)
    else:
        yield "Nothing." if known else "Not known."


def _exports(run: Path) -> Iterator[str]:
    """The merged models that are still where they were put."""
    requests = sorted((run / "exports").glob("*/request.json"))
    for target in dict.fromkeys(Path(read_request(r.parent).target) for r in requests):
        if (target / CERTIFICATE).exists():
            same = read_json(target / CERTIFICATE)
            yield (
                f"Merged model: {target} (same most likely token as base plus adapter at "
                f"{same['same_top_token']:.1%} of {same['positions']} positions, mean KL "
                f"{same['mean_kl_nats']:.1e} nats)"
                f"{'' if same.get('within_bounds', True) else ': beyond the bounds of a merge'}"
            )
        elif (target / "config.json").exists():
            yield f"Copy of the model: {target}"


def _on_what(found: Found) -> Iterator[Block]:
    dataset, started = found.section("dataset"), found.view.started
    if not dataset:
        yield "Not known: there is no manifest that says so."
        return
    points = [
        f"Dataset: {dataset['name']}@{dataset['version']}, {dataset.get('rows')} rows, "
        f"SHA-256 {dataset['sha256']}"
    ]
    if mixture := found.made.get("mixture"):
        points.append(f"mixed of {weights_in_words(mixture)}")
    if started is not None:
        points.append(
            f"{started.train_rows:,} training rows of {started.train_tokens:,} tokens, "
            f"{started.validation_rows:,} validation rows"
        )
    if against := at(found.config, "evaluation.against"):
        points.append(f"Evaluated on {', '.join(against)} as well")
    yield Points(points)
    yield from _gate(found.section("gate"))


def _gate(gate: Body) -> Iterator[Block]:
    """What was said of the data before the first step."""
    if not gate:
        yield "Its data were not checked before it started."
        return
    accepted = gate.get("accepted") or {}
    seen = [one for one in gate.get("findings", ()) if one["level"] != "ok"]
    if not seen:
        yield f"Checked before it started: {len(gate.get('findings', ()))} checks found nothing."
        return
    yield "Checked before it started:"
    levels = ["accepted" if one["name"] in accepted else one["level"] for one in seen]
    yield Points(
        [f"{lv}: {one['name']}: {one['text']}" for lv, one in zip(levels, seen, strict=True)]
    )


def _how(found: Found) -> Iterator[Block]:
    facts = figures.facts(found.view)
    if not facts:
        yield "It took no step."
        return
    yield Points([*facts, *_events(found), *_starts(found)])
    yield from curves.of_run(found)
    yield from _validations(found.view.evaluations)
    yield from _alarms(found)
    if rows := comparison.rows(found.view):
        yield Heading("Forecast and measurement", 3)
        yield Table(comparison.HEADERS, rows)
        if basis := comparison.basis(found.view):
            yield basis


def _events(found: Found) -> Iterator[str]:
    counts = found.counts
    if found.view.saving or counts["checkpoint"]:
        yield f"{_count(counts['checkpoint'], 'checkpoint')} in {duration(found.view.saving)}"
    if counts[Skipped.type]:
        yield f"{_count(counts[Skipped.type], 'step')} skipped: a loss or gradient was no number"
    if counts[Spiked.type]:
        yield f"{_count(counts[Spiked.type], 'spike')} of the loss"


def _starts(found: Found) -> Iterator[str]:
    for start in found.made.get("starts", ()):
        environment = start.get("environment", {})
        packages = ", ".join(f"{n} {v}" for n, v in environment.get("packages", {}).items() if v)
        gpus = [gpu["name"] for gpu in (environment.get("nvidia") or {}).get("gpus", ())]
        parts = [
            f"{environment.get('device')}, {environment.get('dtype')}",
            environment.get("processor") or "",
            ", ".join(gpus),
            f"Python {environment.get('python')}",
            packages,
        ]
        yield (
            f"{date(start['time'])}, after step {start['resumed_from']}: "
            f"{'; '.join(filter(None, parts))}"
        )


def _validations(evaluations: list[Evaluated]) -> Iterator[Block]:
    if not evaluations:
        yield "It was never validated."
        return
    best = min(evaluations, key=lambda e: e.loss)
    shown = evaluations
    if len(evaluations) > _VALIDATIONS:
        late = evaluations[1 - _VALIDATIONS :]
        middle = [] if best in late or best is evaluations[0] else [best]
        shown = [evaluations[0], *middle, *late]
    yield Heading("Validations", 3)
    yield Table(
        ["after step", "loss", "perplexity", "rows", ""],
        [
            [
                str(e.step),
                f"{e.loss:.4f}",
                NOTHING if e.perplexity is None else f"{e.perplexity:.4g}",
                str(e.rows),
                "best" if e is best else "",
            ]
            for e in shown
        ],
    )
    if len(shown) < len(evaluations):
        yield f"{len(shown)} of {len(evaluations)} validations are shown."


def _alarms(found: Found) -> Iterator[Block]:
    seen = found.alarms
    if seen is None or not (seen.past or seen.standing):
        yield "No alarms."
        return
    yield Heading("Alarms", 3)
    every = [*seen.past, *seen.standing]
    # Those that stood at the end come last, and stay.
    points = [_alarm(episode, seen.ended) for episode in every[-_MOST:]]
    if more := len(every) - len(points):
        points.insert(0, f"{_count(more, 'earlier one')}: `workbench alarms {found.id}`")
    yield Points(points)


def _alarm(episode: Episode, ended: bool) -> str:
    alarm = episode.alarm
    if episode.until is not None:
        how = f"for {duration(episode.until - alarm.since_time)}"
    else:
        how = "to its end" if ended else "still"
    since = f"from step {alarm.since_step} on, {how}"
    return f"{alarm.severity} {alarm.name} {since}: {alarm.text} {alarm.next_step}"


def _how_well(found: Found) -> Iterator[Block]:
    if found.scores is not None:
        yield from _scores(found.scores)
    elif found.evaluation is not None:
        yield f"What {found.evaluation} measured can't be read."
    else:
        yield f"It has not been evaluated: `workbench eval {found.id}`."
    for result in found.harness:
        yield Heading("lm-evaluation-harness", 3)
        for table in (telling.figures(result), telling.changes(result)):
            yield from told(table) if table is not None else ()
    yield from _reviews(found)


def _scores(measured: Body) -> Iterator[Block]:
    """The figures of an evaluation, what differs from the base, what is wrong with outputs."""
    yield from told(telling.figures(measured))
    if (changes := telling.changes(measured)) is not None:
        yield from told(changes)
        yield from intervals.of_changes(measured["comparisons"], measured.get("measures", {}))
    if (wrong := telling.degeneration(measured)) is not None:
        yield from told(wrong)
    for table in (*telling.labels(measured), *telling.slices(measured)):
        yield from told(table)
    yield "In brackets 95 % intervals: Wilson's for shares, else by 2,000 resamples of rows."


def _reviews(found: Found) -> Iterator[Block]:
    """What people said, of the sessions that they have ended; of others nothing that a person who
    is still judging should not know."""
    yield Heading("Human review", 3)
    if not found.sessions:
        yield "No person has judged it: `workbench review create`."
    for session in found.sessions:
        if session.locked is None:
            yield f"Blind review session {session.name} has not ended: what it says is not shown."
            continue
        yield f"Blind review session {session.name}, ended on {date(session.locked)}:"
        lines = report_lines(session.report(unblind=True, anyway=True).to_json())
        yield Points([line.strip() for line in lines if line.strip()])


def _doubt(found: Found) -> Iterator[Block]:
    yield Points(doubt.of_run(found))


def _repeat(found: Found) -> Iterator[Block]:
    """The line that runs it again."""
    line: Any = found.made.get("repeat")
    if not isinstance(line, str):
        yield "Not known: its manifest doesn't say."
        return
    yield Code(line)
    yield "The config names the dataset version by its content, so the same rows are used."


def date(then: Any) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(then))


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
