from __future__ import annotations

from textual.app import App, ComposeResult

from screens.widgets.row_table import Column, RowTable

COLUMNS = (Column("row", 8, right=True), Column("text", 10, grow=1), Column("tail", 70))


class Host(App[None]):
    """A table of a million rows that notes which of them were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[int] = set()
        self.chosen: list[int] = []

    def compose(self) -> ComposeResult:
        yield RowTable(COLUMNS, id="table")

    def on_mount(self) -> None:
        table = self.query_one(RowTable)
        table.show_rows(1_000_000, self._cells)
        table.focus()

    def _cells(self, row: int) -> tuple[str, ...]:
        self.asked.add(row)
        return (f"{row:,}", f"text \x1b[31m of\n{row} [bold]", "tail")

    def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
        self.chosen.append(event.row)

    def shown(self) -> list[str]:
        table = self.query_one(RowTable)
        return [table.render_line(y).text for y in range(table.size.height)]


async def test_only_rows_in_view_are_asked_for_wherever_one_goes() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert len(app.asked) <= 24
        await pilot.press("G")
        await pilot.pause()
        assert app.query_one(RowTable).cursor == 999_999
        assert "999,999" in app.shown()[-1]
        await pilot.press("pageup", "k", "up", "enter")
        assert app.chosen == [999_999 - 22 - 2]
        await pilot.press("g", "j", "ctrl+d", "enter")
        assert app.chosen[-1] == 1 + 22
        assert len(app.asked) < 200


async def test_the_header_stays_and_the_cursor_is_always_in_view() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        table = app.query_one(RowTable)
        for key in ("G", "k", "g", "pagedown", "pagedown", "pageup", "j"):
            await pilot.press(key)
            await pilot.pause()
            lines = app.shown()
            assert lines[0].split()[:2] == ["row", "text"]
            assert any(line.split()[0] == f"{table.cursor:,}" for line in lines[1:])


async def test_columns_that_do_not_fit_are_left_out_and_text_is_shown_not_executed() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        narrow = app.shown()
        assert "tail" not in narrow[0]
        assert "\\x1b[31m of⏎0 [bold]" in narrow[1]
        assert all("\x1b" not in line for line in narrow)
        await pilot.resize_terminal(120, 24)
        await pilot.pause()
        assert "tail" in app.shown()[0]


async def test_fewer_rows_bring_the_cursor_back() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("G")
        table = app.query_one(RowTable)
        table.set_count(3)
        assert table.cursor == 2
        table.set_count(0)
        await pilot.press("enter", "j", "k", "G")
        assert app.chosen == []
