"""The metrics that there are, by the names that configs and results have, and what may be asked
of them. Plain: no library."""

from __future__ import annotations

from dataclasses import dataclass

NAMES: dict[str, str] = {
    "exact_match": "the same as a reference, normalised as by SQuAD",
    "token_f1": "F1 of the words shared with a reference, normalised as by SQuAD",
    "rouge_1": "ROUGE-1 F1: shared words",
    "rouge_2": "ROUGE-2 F1: shared pairs of words",
    "rouge_l": "ROUGE-L F1: the longest common subsequence of words",
    "rouge_lsum": "ROUGE-Lsum F1: as ROUGE-L, line by line",
    "bleu": "BLEU by sacrebleu, of all rows together",
    "chrf": "chrF2 by sacrebleu, of all rows together",
    "accuracy": "gives the label of the reference",
    "macro_f1": "mean over labels of the F1 of each",
    "no_label": "gives no label, or several",
    "numeric_match": "comes to the number of a reference",
    "json_valid": "is one JSON document",
    "regex_match": "has a match of",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person asks for."""

    metrics: tuple[str, ...] = ()
    """Each `NAME`, or `TASK=NAME` for the rows of one task; of one's own `MODULE:FUNCTION` or the
    name of an entry point. Tasks for which nothing is named have what fits their references."""
    labels: tuple[str, ...] = ()
    """Of classification; none: those of the data."""
    pattern: str = ""
    """The regular expression of `regex_match`."""
