"""The app: six screens on keys 1 to 6 over one workspace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import FrameType
from typing import Any, ClassVar, NoReturn

from textual import events, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.notifications import SeverityLevel
from textual.screen import ModalScreen, Screen
from textual.widget import AwaitMount
from textual.widgets import Input

from screens import colours
from screens.appearance import PLAIN, Appearance, Symbols, choose
from screens.patience import soon
from workbench import faults, settings
from workbench.terminal import GIVE_BACK, Title
from workbench.tracking import finding
from workbench.workspace import Workspace

_TERMINAL_GONE = 129
"""Exit code after the terminal was lost: 128 and the number of SIGHUP."""
_RESTORE = (
    b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?2004l\x1b[?1004l\x1b[<u"
)
"""The ordinary screen, the cursor, and no reports of mouse, focus, pastes and keys."""


def _datasets() -> Screen[Any]:
    from screens.datasets import DatasetsScreen

    return DatasetsScreen()


def _config() -> Screen[Any]:
    from screens.config import ConfigScreen

    return ConfigScreen()


def _monitor() -> Screen[Any]:
    from screens.monitor import MonitorScreen

    return MonitorScreen()


def _runs() -> Screen[Any]:
    from screens.runs import RunsScreen

    return RunsScreen()


def _jobs() -> Screen[Any]:
    from screens.jobs import JobsScreen

    return JobsScreen()


def _tab(key: str, mode: str) -> Binding:
    """With priority: else a key behind it in a burst is looked at by the screen before."""
    name = mode.capitalize()
    return Binding(key, f"go('{mode}')", name, show=False, id=f"app.{mode}", priority=True)


class WorkbenchApp(App[None]):
    """Imports a screen when it is first opened, and nothing heavy ever."""

    TITLE = "workbench"
    ENABLE_COMMAND_PALETTE = True
    CSS = colours.CSS
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "datasets": _datasets,
        "config": _config,
        "monitor": _monitor,
        "runs": _runs,
        "jobs": _jobs,
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        _tab("1", "datasets"),
        _tab("2", "config"),
        _tab("3", "monitor"),
        _tab("4", "review"),
        _tab("5", "runs"),
        _tab("6", "jobs"),
        Binding("question_mark,f1", "help", "Help", id="app.help", key_display="?"),
        Binding("colon", "command_palette", "Commands", show=False, id="app.commands"),
        Binding("q", "detach", "Detach", id="app.detach"),
        Binding("ctrl+c", "detach", "Detach", show=False, id="app.interrupt"),
    ]

    def __init__(
        self,
        workspace: Workspace,
        *,
        mode: str = "datasets",
        run_id: str | None = None,
        dataset: str | None = None,
        session: str = "",
        annotator: str = "",
        base: str = "default",
        appearance: Appearance = PLAIN,
        compact: bool = False,
    ) -> None:
        # Begin on the wanted screen: a switch after the first frame would draw two.
        self.DEFAULT_MODE = mode  # type: ignore[misc]
        # Without colours the terminal's own are taken; Textual's grey would be written as colours.
        super().__init__(ansi_color=True if appearance.colourless else None)
        self.ansi_theme_light = colours.ON_LIGHT
        self.theme = appearance.theme
        self.animation_level = appearance.animation
        self.symbols: Symbols = appearance.symbols
        """What charts and bars are drawn with."""
        self.workspace = workspace
        self.run_id = run_id
        self.laid_over: list[str] = []
        """Runs whose curves the Monitor lays over those of the one that it shows next."""
        self.job = ""
        """The job that Jobs is to show when it has it, by its reference."""
        """The run that the Monitor shows; None for the newest."""
        self.dataset = dataset
        """The dataset or file that the Datasets screen opens first."""
        self.config_path: str | None = None
        """The config that the Config screen opens next."""
        self.chosen_dataset: str | None = None
        """The dataset version that the Config screen takes over."""
        self.chosen_max_length: int | None = None
        """The cutoff in tokens that it takes over with it."""
        self.base = base
        """The base model of the config in work: whose tokens the Datasets screen shows."""
        self.max_length: int | None = None
        """Its cutoff in tokens; None before there is a config in work."""
        self.compact = compact
        """Draw the Monitor for a pane of a few lines, whatever its height."""
        self.written = 0
        """Bytes that the terminal was sent so far."""
        self.terminal_title = Title(self._write_to_terminal)
        self._session, self._annotator = session, annotator
        self._modes["review"] = self._review
        self._modes["chat"] = self._chat

    @property
    def ascii(self) -> bool:
        """Whether only ASCII is drawn."""
        return self.symbols == "ascii"

    def get_css_variables(self) -> dict[str, str]:
        theme = self.current_theme
        own = self.native_ansi_color
        return colours.mended(super().get_css_variables(), dark=theme.dark, own=own)

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = super().get_line_filters()
        if not self.native_ansi_color:
            return filters
        return (colours.OF_SIXTEEN[self.current_theme.dark], *filters)

    def _review(self) -> Screen[Any]:
        from screens.review import ReviewScreen

        return ReviewScreen(self._session, self._annotator)

    def _chat(self) -> Screen[Any]:
        from screens.chat import ChatScreen

        return ChatScreen(self.workspace.runs / str(self.run_id))

    def on_mount(self) -> None:
        if self._driver is not None:
            # What is drawn by itself is drawn less often where a picture is many bytes.
            self._driver.write = self._counted(self._driver.write)  # type: ignore[method-assign, assignment]

    def _counted(self, write: Callable[[str], None]) -> Callable[[str], None]:
        def counting(data: str) -> None:
            self.written += len(data.encode("utf-8", "surrogatepass"))
            write(data)

        return counting

    def _write_to_terminal(self, text: str) -> None:
        if self._driver is not None and not self.is_headless:
            self._driver.write(text)

    def on_resize(self, event: events.Resize) -> None:
        """A sentence instead of a screen that has no room, on top of whatever is open."""
        from screens.small import TooSmall, is_small

        if is_small(event.size) and not isinstance(self.screen, TooSmall):
            self.push_screen(TooSmall())

    def notify(
        self, message: str, *, severity: SeverityLevel = "information", **options: Any
    ) -> None:
        """How grave it is stands in front: the colour of its border alone would tell."""
        if severity != "information":
            message = f"{severity.capitalize()}: {message}"
        super().notify(message, severity=severity, **options)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "go":
            # Digits are text in a line, verdicts where they are asked for, and a question is
            # answered first.
            return not (
                isinstance(self.focused, Input)
                or isinstance(self.screen, ModalScreen)
                or getattr(self.screen, "takes_digits", False)
            )
        return super().check_action(action, parameters)

    async def action_go(self, mode: str) -> None:
        """Open one of the six screens; the key behind is its."""
        await self.go(mode)

    def go(self, mode: str) -> AwaitMount:
        """Open one of the six screens."""
        return self.switch_mode(mode)

    def _handle_exception(self, error: Exception) -> None:
        """Leave with a sentence; Textual would print pages of traceback."""
        if self.is_headless:
            super()._handle_exception(error)
        else:
            self.exit(return_code=1, message=faults.tell(error))

    def action_help(self) -> None:
        from screens.help import HelpScreen

        self.push_screen(HelpScreen(self.screen, self.current_mode.capitalize()))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        from screens.actions import commands

        yield from commands(self, screen)
        yield SystemCommand("Read outputs", "What a run answered, row by row", self._read_outputs)
        yield SystemCommand("Theme", "Change the colours", self.action_change_theme)
        yield SystemCommand("Screenshot", "Save the screen as SVG", self.deliver_screenshot)

    @work(exit_on_error=False)
    async def _read_outputs(self) -> None:
        from screens.outputs import OutputsScreen, pick_run

        if (source := await pick_run(self, self.workspace)) is not None:
            await self.push_screen(OutputsScreen([source]))

    async def action_quit(self) -> None:
        """Textual's own ctrl+q: no other way out than `q`."""
        self.action_detach()

    def action_detach(self) -> None:
        """Leave. Runs are processes of their own and go on."""
        going = soon(partial(finding.running, self.workspace))
        if going is None:
            message = (
                "Detached. Its files didn't answer in time, so that what goes on can't be told: "
                "`workbench runs list` tells."
            )
        elif going:
            message = (
                f"Detached. Training goes on: {', '.join(going)}. "
                "`workbench attach` shows it again, `workbench stop` ends it."
            )
        else:
            message = "Detached. No training is running."
        self.exit(message=message)


def run_app(
    workspace: Workspace,
    *,
    mode: str,
    run_id: str | None,
    dataset: str | None,
    session: str,
    annotator: str,
    mouse: bool,
    symbols: str | None,
    compact: bool,
) -> NoReturn:
    """Run the app until the person leaves, and end the process with the app's code.

    Raises WorkbenchError where the terminal can't show it, or a setting is wrong.
    """
    own = settings.read()
    appearance = choose(own, symbols, os.environ, sys.stdout.encoding or "")
    if not appearance.colourless:
        os.environ.pop("NO_COLOR", None)  # Textual heeds an empty one, too
    for name in ("COLUMNS", "LINES"):
        # What a shell has exported once (`resize` does) Textual would take for the terminal's
        # size for good, and draw past its end.
        os.environ.pop(name, None)
    app = WorkbenchApp(
        workspace,
        mode=mode,
        run_id=run_id,
        dataset=dataset,
        session=session,
        annotator=annotator,
        appearance=appearance,
        compact=compact,
    )
    # Textual can't leave in order once its terminal is gone: it would wait, or spin.
    leave = partial(_leave_at_once, app, termios.tcgetattr(pty.STDIN_FILENO))
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, leave)
    threading.Thread(target=_leave_with_terminal, daemon=True).start()
    # Not app.run(): it waits for every thread, also for one that fetches a base model. Nothing
    # that a thread does here is lost half-way: what it writes appears whole or not at all.
    asyncio.new_event_loop().run_until_complete(app.run_async(mouse=mouse and own.mouse))
    if app.terminal_title.shown is not None:
        os.write(pty.STDOUT_FILENO, GIVE_BACK.encode())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(app.return_code or 0)


def _leave_at_once(
    app: WorkbenchApp, settings: list[Any], number: int, frame: FrameType | None
) -> None:
    """End the process; the terminal, if it is still there, is left as it was found."""
    with contextlib.suppress(OSError, termios.error):
        # By number: while the app runs, sys.stdout is Textual's own.
        title = GIVE_BACK if app.terminal_title.shown is not None else ""
        os.write(pty.STDOUT_FILENO, _RESTORE + title.encode())
        termios.tcsetattr(pty.STDIN_FILENO, termios.TCSANOW, settings)
    os._exit(128 + number)


def _leave_with_terminal() -> None:
    """End the process when the terminal hangs up, also where SIGHUP is ignored (nohup)."""
    watch = select.poll()
    watch.register(pty.STDIN_FILENO, 0)
    while not any(event & (select.POLLHUP | select.POLLERR) for _, event in watch.poll(2000)):
        pass
    os._exit(_TERMINAL_GONE)
