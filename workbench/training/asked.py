"""What was asked of a run while it trains, and is not done yet."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.jobs.control import Control
from workbench.jobs.events import CommandHandled
from workbench.jobs.log import LogWriter
from workbench.training.ranks import Ranks


@dataclass
class Asked:
    """What all ranks know of together."""

    stop: bool = False
    preempt: bool = False
    save: bool = False
    evaluate: bool = False
    pause: bool = False

    def listen(self, control: Control, log: LogWriter, ranks: Ranks) -> int:
        """Note what was asked for since the last look, of any rank.

        Returns every how many steps there is to be logged, 0 where nobody asked for another
        number.
        """
        interval = 0
        for command in control.poll():
            log.write(CommandHandled(command.id, command.command, command.value))
            match command.command:
                case "stop":
                    self.stop = True
                case "preempt":
                    self.stop = self.preempt = True
                case "save_now":
                    self.save = True
                case "evaluate_now":
                    self.evaluate = True
                case "pause" | "resume":
                    self.pause = command.command == "pause"
                case "set_interval" if command.value:
                    interval = command.value
        # The first alone hears of a pause and of its end.
        paused = self.pause and ranks.first
        flags: list[int] = [self.stop, self.preempt, self.save, self.evaluate, paused]
        *flags, interval = ranks.agree([*flags, interval])
        self.stop, self.preempt, self.save, self.evaluate, self.pause = map(bool, flags)
        return interval
