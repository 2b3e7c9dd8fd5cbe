from __future__ import annotations

from screens.widgets.gauge import bar, size


def test_bars_and_sizes() -> None:
    assert bar(0.5, 10) == "█████░░░░░"
    assert bar(2.0, 4) == "████" and bar(-1.0, 4) == "░░░░"
    assert bar(0.5, 10, ascii=True) == "#####....."
    assert [size(n) for n in (None, 12, 3 << 20, 5 << 30)] == ["N/A", "12 B", "3.0 MiB", "5.0 GiB"]
