"""The app on a pseudo-terminal of its own, which the test reads, leaves unread, or takes away."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.polling import eventually
from workbench.jobs.state import start_ticks


class Pseudo:
    """`workbench ARGUMENTS`; everything that it writes is in `written` while it is read."""

    def __init__(
        self,
        workspace: Path,
        *arguments: str,
        size: tuple[int, int] = (80, 24),
        ignore_hangup: bool = False,
        **environment: str,
    ) -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            if ignore_hangup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            variables = {"TERM": "xterm-256color", "WORKBENCH_HOME": str(workspace), **environment}
            os.environ.update(variables)
            os.execv(sys.executable, [sys.executable, "-m", "workbench", *arguments])  # noqa: S606
        self.written = b""
        self._reads = threading.Event()
        self._gone = False
        self.resize(*size)
        self.read()

    def resize(self, columns: int, rows: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)

    def read(self) -> None:
        """Read on, in a thread, until `leave_unread`."""
        self._reads.set()
        self._reader = threading.Thread(target=self._read_on, daemon=True)
        self._reader.start()

    def leave_unread(self) -> None:
        self._reads.clear()
        self._reader.join()

    def read_to_end(self) -> None:
        """Read what an app that is gone has left."""
        self._reader.join(60)
        assert not self._reader.is_alive(), "somebody has the terminal still"

    def _read_on(self) -> None:
        while self._reads.is_set():
            if not select.select([self.terminal], [], [], 0.05)[0]:
                continue
            try:
                self.written += os.read(self.terminal, 1 << 16)
            except OSError:
                return

    def press(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def wait(self, text: str, after: int = 0) -> None:
        """Return once `text` was written, behind the first `after` bytes."""
        eventually(lambda: text.encode() in self.written[after:])

    def hang_up(self) -> None:
        """Take the terminal away."""
        self.leave_unread()
        os.close(self.terminal)
        self._gone = True

    def resident(self) -> int:
        """Bytes of memory that the app has."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self) -> float:
        """What it has used of a processor so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def gone(self) -> bool:
        """Whether the process has ended."""
        if start_ticks(self.pid) is None:
            return True
        return os.waitpid(self.pid, os.WNOHANG)[0] == self.pid

    def end(self) -> None:
        if not self._gone:
            self.leave_unread()
            os.close(self.terminal)
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return


Open = Callable[..., Pseudo]


@contextmanager
def pseudo_terminals() -> Iterator[Open]:
    """Opens apps; ends those that are left."""
    opened: list[Pseudo] = []

    def start(*arguments: object, **options: object) -> Pseudo:
        opened.append(Pseudo(*arguments, **options))  # type: ignore[arg-type]
        return opened[-1]

    try:
        yield start
    finally:
        for one in opened:
            one.end()
