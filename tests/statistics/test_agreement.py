from __future__ import annotations

import random

import pytest

from workbench.statistics.agreement import (
    Level,
    agreement,
    cohen_kappa,
    krippendorff_alpha,
    raw_agreement,
)

X = None
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, X, X, X],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, X, 3],
    [X, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, X],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, X],
]
"""Four observers, twelve units: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability",
section C."""
ENCYCLOPEDIA = [
    [X, X, X, X, X, 3, 4, 1, 2, 1, 1, 3, 3, X, 3],
    [1, X, 2, 1, 3, 3, 4, 3, X, X, X, X, X, X, X],
    [X, X, 2, 1, 3, 4, 4, X, 2, 1, 1, 3, 3, X, 4],
]
"""The example of Wikipedia, "Krippendorff's alpha": nominal .691, interval .811."""


def units(table: list[list[int | None]]) -> list[list[int]]:
    return [[v for v in unit if v is not None] for unit in zip(*table, strict=True)]


@pytest.mark.parametrize(
    ("table", "level", "published"),
    [
        (KRIPPENDORFF, "nominal", 0.743),
        (KRIPPENDORFF, "ordinal", 0.815),
        (KRIPPENDORFF, "interval", 0.849),
        (ENCYCLOPEDIA, "nominal", 0.691),
        (ENCYCLOPEDIA, "interval", 0.811),
    ],
)
def test_alpha_gives_the_published_values(
    table: list[list[int | None]], level: Level, published: float
) -> None:
    found = krippendorff_alpha(units(table), level)
    assert found is not None
    assert found.value == pytest.approx(published, abs=5e-4)
    assert found.low <= found.value <= found.high


def test_alpha_to_more_places() -> None:
    """113/152 = .7434211, as the tests of evalica 0.4.2 have it, which also give, for
    (1, 2), (2, 3), (3, 4), nominal -.1538462 and interval .5454545."""
    found = krippendorff_alpha(units(KRIPPENDORFF))
    assert found is not None
    assert found.value == pytest.approx(113 / 152, abs=1e-12)
    assert (found.n, found.clusters) == (40, 11)
    steps = [(1, 2), (2, 3), (3, 4)]
    nominal, interval = krippendorff_alpha(steps), krippendorff_alpha(steps, "interval")
    assert nominal is not None and interval is not None
    assert (nominal.value, interval.value) == pytest.approx((-0.1538462, 0.5454545), abs=5e-8)


def test_alpha_is_one_for_full_agreement_and_about_none_for_chance() -> None:
    full = krippendorff_alpha([("a", "a"), ("b", "b", "b"), ("c", "c")])
    assert full is not None
    assert (full.value, full.low, full.high) == (1, 1, 1)
    generator = random.Random(4)
    chance = krippendorff_alpha([[generator.choice("abc") for _ in range(3)] for _ in range(400)])
    assert chance is not None
    assert abs(chance.value) < 0.06
    assert chance.low < 0 < chance.high


def test_alpha_knows_no_names_and_no_order_of_units() -> None:
    given = units(KRIPPENDORFF)
    named = [["zyxwv"[v - 1] for v in unit] for unit in given]
    turned = [unit[::-1] for unit in given[::-1]]
    once, twice, back = map(krippendorff_alpha, (given, named, turned))
    assert once is not None and twice is not None
    assert once == back
    assert twice.value == pytest.approx(once.value)


def test_the_ordinal_level_knows_only_the_order_and_the_interval_only_distances() -> None:
    given = units(KRIPPENDORFF)
    squares = [[v * v for v in unit] for unit in given]
    scaled = [[10 * v - 3 for v in unit] for unit in given]
    assert krippendorff_alpha(given, "ordinal") == krippendorff_alpha(squares, "ordinal")
    plain, moved = (krippendorff_alpha(each, "interval") for each in (given, scaled))
    assert plain is not None and moved is not None
    assert moved.value == pytest.approx(plain.value)
    assert krippendorff_alpha(squares, "interval") != plain


def test_alpha_is_not_defined_without_two_values() -> None:
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([(1,), (2,)]) is None
    assert krippendorff_alpha([(1, 1), (1, 1)]) is None


def test_kappa() -> None:
    """Two psychiatrists' diagnoses of 100 patients: Fleiss, Levin and Paik 2003, table 18.1:
    agreement .89, expected .66, kappa (.89 - .66) / .34 = .676."""
    table = {"pp": 75, "pn": 1, "po": 4, "np": 5, "nn": 4, "no": 1, "oo": 10}
    pairs = [(cell[0], cell[1]) for cell, many in table.items() for _ in range(many)]
    found = cohen_kappa(pairs)
    assert found is not None
    assert found.value == pytest.approx((0.89 - 0.66) / 0.34)
    # Fleiss, Cohen and Everitt 1969 give a standard error of .088 for this table.
    assert found.standard_error == pytest.approx(0.088, abs=0.01)
    assert found == cohen_kappa(pairs[::-1])


def test_kappa_of_one_value_or_none_is_not_defined() -> None:
    assert cohen_kappa([]) is None
    assert cohen_kappa([("a", "a")] * 5) is None


def test_raw_agreement_counts_every_pair_of_annotators() -> None:
    given = [["a", "a", "b"], ["tie", "tie"], ["a"], []]
    seen = agreement(given)
    assert (seen.pairs, seen.agreeing, seen.share) == (4, 2, 0.5)
    assert agreement([["a"]]).share is None
    found = raw_agreement(given)
    assert found is not None
    assert (found.value, found.n, found.clusters) == (0.5, 4, 2)
    assert raw_agreement([["a"]]) is None
