"""From a row of data to what runs have answered to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message

from screens.deciding import DecidingScreen
from workbench.data.example import Example
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.evaluation.outputs import Source


@dataclass
class Answers(Message):
    """The evaluations that have asked a row, and what it asks."""

    sources: Sequence[Source]
    prompt: str


class ToOutputsScreen(DecidingScreen):
    """A screen with a row of a dataset version under its cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("O", "outputs", "Outputs", show=False, id="rows.outputs"),
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "outputs":
            return self.source.version is not None
        return super().check_action(action, parameters)

    def action_outputs(self) -> None:
        """What runs answered to the row, side by side."""
        number, version = self.number(), self.source.version
        example = None if number is None else self.source.original(number)
        if example is None or version is None:
            self.notify("It is no row, or not read yet.")
        else:
            self._look_for_answers(version, example)

    @work(thread=True, exclusive=True, group="answers", exit_on_error=False)
    def _look_for_answers(self, version: Version, example: Example) -> None:
        from workbench.evaluation import answered

        try:
            sources = answered.of_row(self.workspace, version, example)
        except WorkbenchError as error:
            self.app.call_from_thread(self.complain, error)
        else:
            self.post_message(Answers(sources, answered.prompt_of(example)))

    @on(Answers)
    def _read_answers(self, message: Answers) -> None:
        from screens.outputs import OutputsScreen

        self.app.push_screen(OutputsScreen(message.sources, message.prompt))
