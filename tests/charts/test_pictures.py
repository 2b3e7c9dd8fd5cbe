"""Charts as a person sees them."""

from __future__ import annotations

import math
import random

from tests.charts.conftest import ZIGZAG, body, picture
from workbench.charts.line import Line
from workbench.charts.picture import draw
from workbench.charts.raster import text_of
from workbench.charts.series import COLOURS, Chart, Mark, Series, Threshold, View
from workbench.charts.symbols import ASCII, SETS, width_of
from workbench.charts.units import BYTES, EPOCH, NUMBER, STEP, TIME, TOKENS

RAMP = Line.of((x, x) for x in range(8))


def test_a_known_line_in_braille_in_blocks_and_in_ascii() -> None:
    v = Series("a", ZIGZAG)
    assert picture(v, 40, 8) == [
        "━ a 10",
        "      10│⠑⠤⡀                         ⢠⠔⠉",
        "        │  ⠉⠢⣀                    ⢀⡠⠚⠁  ",
        "        │     ⠑⠦⡀               ⢠⠔⠁     ",
        "       5│       ⠉⠢⢄          ⢀⠤⠊⠁       ",
        "        │          ⠉⠢⢄     ⡤⠊⠁          ",
        "       0│            ⠈⠑⠤⣀⠔⠋             ",
        "    step 0                            20",
    ]
    assert picture(Series("a", RAMP), 13, 4, symbols="block", bare=True) == [
        "          ▄▞▀",
        "      ▗▄▀▀   ",
        "   ▄▞▀▘      ",
        "▄▀▀          ",
    ]
    assert picture(v, 40, 8, symbols="ascii")[1:] == [
        "      10|*                             *",
        "        | ***                       *** ",
        "        |    ***                 ***    ",
        "       5|       ***           ***       ",
        "        |          ***     ***          ",
        "       0|             *****             ",
        "    step 0                            20",
    ]


def test_a_gap_stays_a_gap_and_stretches_no_axis() -> None:
    for hole in (math.nan, math.inf, -math.inf):
        line = Line.of((x, hole if 3 <= x <= 5 else 1.0) for x in range(9))
        assert picture(Series("a", line), 40, 5) == [
            "━ a 1",
            "     1.5│                               ",
            "     1.0│⠤⠤⠤⠤⠤⠤⠤⠤               ⠤⠤⠤⠤⠤⠤⠤⠤",
            "     0.5│                               ",
            "    step 0                  5",
        ]


def test_a_gap_of_one_point_among_few_is_seen() -> None:
    line = Line.of((x, math.nan if x == 4 else 1.0) for x in range(9))
    row = body(picture(Series("a", line), 40, 5))[1]
    assert row.startswith("⠤") and row.endswith("⠤") and "   " in row


def test_nothing_one_point_and_no_number() -> None:
    for series in ([], [Series("a", Line.of([]))]):
        assert "nothing to draw yet" in "\n".join(picture(Chart("loss", series), 40, 6))
    gaps = Series("a", Line.of([(0, math.nan), (1, math.inf)]))
    head, *rest = picture(Chart("loss", [gaps]), 40, 6)
    assert head == "loss  ━ a N/A" and "N/A" in "".join(rest) and "0" not in "".join(rest)
    one = picture(Series("a", Line.of([(5, 3.0)])), 40, 6)
    assert one[0] == "━ a 3" and sum(row.count("⠄") + row.count("⠁") for row in one) == 1


def test_a_legend_of_long_names_is_cut_in_the_names_not_at_its_end() -> None:
    names = ["this run", "overfitting-default-0006", "overfitting-default-0006 validation"]
    lines = [Series(name, Line.of([(0, 1.0), (9, 1.2345)])) for name in names]
    head = picture(Chart("loss", lines), 80, 8)[0]
    assert len(head) < 80 and head.startswith("loss  a this run 1.23")
    assert head.count("1.23") == 3 and "-0006 1.23" in head and "ation 1.23" in head
    assert len(picture(Chart("loss", lines), 30, 8)[0]) < 30


def test_a_legend_that_one_row_has_no_room_for_goes_on_below_and_counts_what_is_left_out() -> None:
    names = [f"overfitting-default-{n:04}" for n in range(7)]
    lines = [Series(name, Line.of([(0, 1.0), (9, 1.2345)])) for name in names]
    tall = picture(Chart("loss", lines), 80, 24)
    assert tall[0].startswith("loss  a ") and tall[1].startswith("  ")
    assert "".join(tall[:3]).count("1.23") == 7 and "│" in tall[3]
    assert all(f"-{n:04} 1.23" in "".join(tall[:3]) for n in range(7))
    low = picture(Chart("loss", lines), 80, 6)
    assert low[0].count("1.23") == 3 and low[0].endswith("  +4") and "│" in low[1]
    # What the lines read moves nothing: the rows are kept.
    read = picture(Chart("loss", lines), 80, 24, cursor=3)
    assert [n for n, row in enumerate(read) if "│" in row] == list(range(3, 23))


def test_one_peak_among_a_hundred_thousand_points_is_drawn() -> None:
    at = 54_321
    line = Line.of((x, 9.0 if x == at else math.sin(x / 9000)) for x in range(100_000))
    for symbols in SETS:
        rows = body(picture(Series("a", line), 109, 22, symbols=symbols))
        assert rows[0].strip() and len(rows[0].strip()) == 1
        # The peak is where it belongs, and reaches down to its neighbours.
        place = round(at / 99_999 * 99)
        assert abs(rows[0].index(rows[0].strip()) - place) <= 1
        assert all(row[rows[0].index(rows[0].strip())] != " " for row in rows[:10])


def test_lines_that_are_joined_touch_whatever_they_do() -> None:
    random.seed(7)
    line = Line.of((x, random.choice((0.0, 1.0, 0.5))) for x in range(50))
    drawn = body(picture(Series("a", line), 60, 12))
    assert all(any(row[cell] != " " for row in drawn) for cell in range(51))


def test_a_log_axis_leaves_out_what_it_can_not_show_and_says_so() -> None:
    line = Line.of([(0, 1), (1, 0), (2, -3), (3, 10), (4, 100)])
    rows = picture(Series("lr", line), 60, 8, view=View(log=True))
    assert rows[0] == "━ lr 100  log  2 values ≤ 0 not shown"
    assert rows[1].startswith("     100│") and rows[6].startswith("       1│⡀")
    assert all(row[12:44].strip() == "" for row in rows[1:7])
    one = picture(Series("a", Line.of([(0, 0), (1, 1), (2, 2)])), 60, 8, view=View(log=True))
    assert "1 value ≤ 0 not shown" in one[0]
    none = picture(Series("a", Line.of([(0, 0), (1, -1)])), 60, 8, view=View(log=True))
    assert "no value above 0 in view" in "\n".join(none)
    away = picture(Series("a", line), 60, 8, view=View(left=7, right=9))
    assert "no value in view" in "\n".join(away)


def test_a_decade_is_as_high_as_the_next_on_a_log_axis() -> None:
    line = Line.of((x, 10.0**-x) for x in range(6))
    rows = body(picture(Series("a", line), 109, 26, view=View(log=True), symbols="ascii"))
    # A straight line: each star is on the diagonal.
    for row, text in enumerate(rows):
        for cell, character in enumerate(text):
            if character == "*":
                assert abs(cell / 99 - row / 23) < 0.06


def test_the_window_alone_decides_the_y_axis_and_lines_go_on_beyond_it() -> None:
    line = Line.of([(0, 0), (10, 100), (20, 0), (30, 1000)])
    rows = picture(Series("a", line), 60, 12, view=View(left=12, right=18))
    # No point is in it, but a line is: from 80 down to 20.
    assert rows[1].lstrip().startswith("80│⠑") and rows[10].lstrip().startswith("20│")
    assert rows[10].rstrip()[-1] in "⠤⢄⠢⣀⠑⠒"
    assert body(rows)[0][0] != " "


def test_bounds_that_are_given_cut_the_picture_off() -> None:
    line = Line.of((x, x) for x in range(101))
    rows = body(picture(Series("a", line), 110, 12, view=View(low=25, high=75), symbols="ascii"))
    assert rows[0].rstrip().index("*") >= 70 and rows[-1].rstrip().endswith("*")
    assert all(row[:23].strip() == "" and row[78:].strip() == "" for row in rows)


def test_marks_stand_below_where_it_happened_and_the_gravest_is_seen() -> None:
    marks = [
        Mark(0, "evaluation"), Mark(0, "alarm"), Mark(3, "checkpoint"),
        Mark(5, "resume"), Mark(99, "spike"),
    ]  # fmt: skip
    line = Line.of((x, x % 3) for x in range(6))
    rows = picture(Chart("m", [Series("val", line)], marks=marks), 69, 8)
    assert rows[0].endswith("! alarm  r resume  c checkpoint  e evaluation")
    marked = rows[-2]
    assert (marked[9], marked[9 + 35], marked[68]) == ("!", "c", "r")
    assert "^" not in marked
    narrow = picture(Chart("m", [Series("val", line)], marks=marks), 40, 12)
    assert narrow[-2].strip() == "! alarm  r resume  c checkpoint"[:31] or "…" in narrow[-2]


def test_few_marked_points_are_marks_and_many_are_a_line() -> None:
    def marks(count: int) -> int:
        line = Line.of((x, x % 7) for x in range(count))
        return "".join(picture(Series("a", line, "red", "marks"), 40, 8)[1:]).count("●")

    assert (marks(4), marks(40)) == (4, 0)


def test_overlaid_runs_have_letters_in_the_legend_and_at_their_ends() -> None:
    up = Series("first", Line.of((x, x) for x in range(50)), "cyan")
    down = Series("second", Line.of((x, 60 - x) for x in range(50)), "green")
    rows = picture(Chart("runs", [up, down]), 70, 12)
    assert rows[0] == "runs  a first 49  b second 11"
    plot = body(rows)
    assert plot[2].rstrip().endswith("a") or plot[1].rstrip().endswith("a")
    assert any(row.rstrip().endswith("b") for row in plot[-4:])
    # In ASCII each is drawn with its letter.
    plain = "".join(body(picture(Chart("runs", [up, down]), 70, 12, symbols="ascii")))
    assert set(plain) == {" ", "a", "b"}
    # Both end in one place: the second letter goes further left.
    same = [Series(name, up.line, letter=name) for name in "xy"]
    assert any("yx" in row for row in picture(Chart("", same), 70, 12))


def test_a_smoothed_line_is_before_its_raw_one() -> None:
    random.seed(3)
    line = Line.of((x, random.gauss(0, 1)) for x in range(4000))
    chart = Chart("", [Series("a", line, "cyan")])
    plain = body(picture(chart, 70, 12, view=View(smoothing=0.99), symbols="ascii"))
    assert all(any(row[cell] == "*" for row in plain) for cell in range(61))
    assert any("." in row for row in plain)
    drawn = draw(chart, View(smoothing=0.99), 70, 12)
    tones = {piece.tone for row in drawn.rows for piece in row if piece.colour == "cyan"}
    assert tones == {"", "dim"}


def test_a_threshold_is_a_dotted_line_with_its_label() -> None:
    chart = Chart("", [Series("a", RAMP)], thresholds=[Threshold(20, "limit")])
    rows = picture(chart, 60, 10)
    assert rows[1].endswith("┈limit") and rows[1].count("┈") > 30
    apart = Chart("", [Series("a", RAMP)], thresholds=[Threshold(20, "limit", include=False)])
    assert "limit" not in "\n".join(picture(apart, 60, 10))


def test_the_cursor_hides_nothing_and_the_title_reads_it() -> None:
    chart = Chart(
        "loss", [Series("a", ZIGZAG), Series("b", Line.of([(0, 4), (20, 6)]), "", "marks")]
    )
    without, with_it = picture(chart, 80, 10), picture(chart, 80, 10, cursor=8)
    assert with_it[0] == "loss  at step 8  ━ a 2  ● b 4 at 0"
    column = 9 + round(8 / 20 * 70)
    for before, after in zip(body(without), body(with_it), strict=True):
        cell = before[column - 9]
        assert after[column - 9] == ("┊" if cell == " " else cell)
    # A pane without a title has one while there is a cursor.
    assert picture(chart, 80, 6, cursor=8, bare=True)[0] == with_it[0]


def test_axes_are_in_the_words_of_their_unit() -> None:
    line = Line.of((x, 2.0**30 * (1 + x / 1000)) for x in range(5000))
    assert " GiB│" in "\n".join(picture(Chart("", [Series("a", line)], y=BYTES), 80, 12))
    for unit, words in (
        (STEP, ("step 0", "4,000")),
        (TIME, ("time 0", "1 h")),
        (EPOCH, ("epoch 0", "4,000")),
    ):
        last = picture(Chart("", [Series("a", line)], x=unit), 80, 12)[-1]
        assert all(word in last for word in words), last
    many = Line.of((x * 1000, 1.0 + x) for x in range(5000))
    assert "4M" in picture(Chart("", [Series("a", many)], x=TOKENS), 80, 12)[-1]


def test_ascii_is_ascii_whatever_names_there_are() -> None:
    chart = Chart(
        "Verlust ≤ größer",
        [
            Series("träin\x1b[2J", ZIGZAG, "cyan"),
            Series("運", RAMP, "yellow", "marks"),
            Series("d", RAMP, "", "dim"),
        ],
        marks=[Mark(1, "alarm")],
        thresholds=[Threshold(12, "Größe")],
    )
    for view in (View(), View(log=True, smoothing=0.9)):
        rows = picture(chart, 120, 14, symbols="ascii", view=view, cursor=3.0)
        assert "\n".join(rows).isascii() and "\x1b" not in "\n".join(rows)


def _any_value(kind: int) -> float:
    return (
        random.gauss(0, 1),
        random.choice((math.nan, math.inf, -math.inf, 0.0, 1.0)),
        random.choice((1e308, -1e308, 5e-324, 1e-300, 0.0)),
        10 ** random.uniform(-8, 8),
        1e9 + random.random() * 1e-6,
    )[kind]


def test_no_row_is_wider_and_no_picture_higher_than_asked() -> None:
    random.seed(11)
    sizes = [(w, h) for w in (1, 2, 3, 5, 8, 13, 20, 31) for h in (1, 2, 3, 4, 7)]
    sizes += [(20, 3), (80, 24), (250, 60)]
    for width, height in sizes:
        for _ in range(6):
            kind = random.randrange(5)
            points = sorted(
                (random.uniform(-10, 10 ** random.randrange(7)), _any_value(kind))
                for _ in range(random.choice((0, 1, 2, 9, 300)))
            )
            line = Line.of(points)
            styles = random.choices(("line", "marks", "dim"), k=3)
            series = [
                Series(f"név {n} 運動", line, COLOURS[n], style)  # type: ignore[arg-type]
                for n, style in enumerate(styles)
            ]
            chart = Chart(
                "title 題名",
                series,
                x=random.choice((STEP, TIME, TOKENS)),
                y=random.choice((BYTES, NUMBER)),
                marks=[Mark(x, "spike") for x, _ in points[:20]],
                thresholds=[Threshold(_any_value(kind), "limit 限")],
            )
            middle = points[len(points) // 2][0] if points else None
            view = View(
                left=middle if random.random() < 0.3 else None,
                log=random.random() < 0.4,
                smoothing=random.choice((0, 0, 0.6, 0.999)),
            )
            drawn = draw(
                chart, view, width, height,
                symbols=random.choice([*SETS.values()]),
                bare=random.random() < 0.3,
                cursor=middle if random.random() < 0.5 else None,
            )  # fmt: skip
            assert len(drawn.rows) <= height
            assert all(width_of(text_of(row)) <= width for row in drawn.rows)
    assert ASCII.ascii


def test_a_row_with_one_series_has_one_style_besides_its_axis() -> None:
    chart = Chart("", [Series("a", ZIGZAG, "cyan")])
    assert all(len(row) == 2 for row in draw(chart, View(), 100, 12).rows[1:-1])


def test_a_narrow_range_of_large_numbers_still_has_its_numbers() -> None:
    line = Line.of((x, 20.12 * 2**30 + x) for x in range(100))
    labels = [row[:8].strip() for row in picture(Chart("", [Series("a", line)], y=BYTES), 60, 8)]
    assert labels[1] == labels[-2] == "20.12GiB"


def test_a_part_of_a_decade_has_numbers_on_a_log_axis() -> None:
    line = Line.of((x, 1.1 + x / 100) for x in range(80))
    labels = [row[:8].strip() for row in picture(Series("a", line), 60, 14, view=View(log=True))]
    assert {"1.2", "1.4", "1.6", "1.8"} <= set(labels)


def test_the_plot_stays_where_it_is_whatever_the_values_and_the_cursor() -> None:
    for width in range(50, 90, 3):
        tops = set()
        for height in (1.0, 1.234567, 123456.7):
            for cursor in (None, 3.0):
                line = Line.of((x, height * x) for x in range(9))
                chart = Chart("loss", [Series("train", line)], marks=[Mark(3, "alarm")])
                rows = picture(chart, width, 14, cursor=cursor)
                tops.add(sum("│" in row for row in rows))
        assert len(tops) == 1
