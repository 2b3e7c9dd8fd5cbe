"""Starts a job, samples the host, owns the socket, records how the job ended.

A process in a session of its own, without torch: some 30 MB that outlive the terminal.
`python -m workbench.jobs.supervisor FOLDER READY_FD`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.hardware.sample import Sampler
from workbench.jobs import control
from workbench.jobs.ending import oom_kills, own_words, tell_ending
from workbench.jobs.launch import read_job
from workbench.jobs.socket import Message, Server, socket_path
from workbench.jobs.state import JobState, beat, boot_id, start_ticks

SAMPLE_EVERY = 2.0
POLL_EVERY = 0.25
"""Seconds between two looks at the log: at most four ticks a second to a client."""
KILL_AFTER = 20.0
"""Seconds that a job asked to stop at once has before it is killed."""
_ENDING_TRIES = 60
"""How often, about once a second, the ending is tried to be written to a full disk."""


class Supervisor:
    """One job's guardian."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        argv, self.log_name = read_job(folder)
        self._log = folder / self.log_name
        self._acks: dict[str, Message] = {}
        self._stop_now_at: float | None = None
        self._oom_kills = oom_kills()
        _, self._first_event = own_words(self._log)
        self._server = Server(socket_path(folder), self._on_command)
        try:
            self._control, self._job = self._spawn(argv)
        except OSError:
            self._server.close()
            raise
        try:
            self._sampler = Sampler(folder, pid=self._job.pid)
            self._state = self._first_state()
            self._state.write(folder)
        except BaseException:
            # Nobody would know of the job, let alone guard it.
            os.killpg(self._job.pid, signal.SIGKILL)
            self._job.wait()
            self._server.close()
            raise

    def _first_state(self) -> JobState:
        return JobState(
            status="running",
            log=self.log_name,
            pid=self._job.pid,
            start_ticks=start_ticks(self._job.pid) or 0,
            supervisor_pid=os.getpid(),
            supervisor_start_ticks=start_ticks(os.getpid()) or 0,
            socket=str(self._server.path),
            started=time.time(),
            first_event=self._first_event,
            host=socket.gethostname(),
            boot=boot_id(),
        )

    def _spawn(self, argv: list[str]) -> tuple[int, subprocess.Popen[bytes]]:
        theirs, ours = os.pipe()
        environment = dict(os.environ)
        environment[control.FD_VARIABLE] = str(theirs)
        # torch's launcher otherwise dies of the SIGHUP that a lost terminal sends.
        environment["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGTERM,SIGINT,SIGQUIT"
        environment["PYTHONUNBUFFERED"] = "1"
        with (
            (self.folder / "stdout.log").open("ab") as output,
            (self.folder / "stderr.log").open("ab") as errors,
        ):
            job = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=environment,
                pass_fds=[theirs],
                process_group=0,
            )
        os.close(theirs)
        os.set_blocking(ours, False)
        return ours, job

    def run(self) -> None:
        """Guard the job until it has ended, then record how."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._pass_on("stop", f"signal-{time.time_ns()}"))
        next_sample = 0.0
        while self._job.poll() is None:
            if time.monotonic() >= next_sample:
                next_sample = time.monotonic() + SAMPLE_EVERY
                self._sample()
            self._server.serve(POLL_EVERY)
            self._server.tick(self._log_size())
            self._enforce_stop()
        # Before the ending is told: whoever reads it may start the job again at once.
        self._server.stop_listening()
        self._record_ending()
        self._server.tick(self._log_size() + 1)
        self._server.serve(0)
        self._server.close()

    def _sample(self) -> None:
        """Append a sample of the machine, and move the heartbeat on."""
        sample = {"v": 1, "t": round(time.time(), 3), **self._sampler.sample()}
        line = json.dumps(sample, separators=(",", ":")).encode() + b"\n"
        # A full disk costs samples; the job needs its guardian then more than ever.
        with contextlib.suppress(OSError):
            beat(self.folder)
        with contextlib.suppress(OSError), (self.folder / "host.jsonl").open("ab") as host:
            host.write(line)

    def _log_size(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

    def _on_command(self, message: Message) -> Message:
        """The ack of a command; the same id is acted on once."""
        command, message_id = str(message.get("command")), str(message.get("id"))
        if message_id not in self._acks:
            self._acks[message_id] = self._act(command, message_id)
        return self._acks[message_id]

    def _act(self, command: str, message_id: str) -> Message:
        if self._job.returncode is not None:
            return {"type": "error", "id": message_id, "text": "The job has ended."}
        if command == "stop_now":
            if self._stop_now_at is None:
                # The job, which logs the other commands, has no time to; supervisor.log has it.
                with contextlib.suppress(OSError):
                    print(f"{time.time():.3f} stop_now {message_id}", flush=True)
                self._stop_now_at = time.monotonic()
                os.killpg(self._job.pid, signal.SIGTERM)
        elif command not in control.JOB_COMMANDS:
            return {"type": "error", "id": message_id, "text": f"There is no command {command!r}."}
        elif not self._pass_on(command, message_id):
            return {
                "type": "error",
                "id": message_id,
                "text": "The job takes no commands any more.",
            }
        return {"type": "ack", "id": message_id, "command": command}

    def _pass_on(self, command: str, message_id: str) -> bool:
        line = json.dumps({"id": message_id, "command": command}).encode() + b"\n"
        try:
            return os.write(self._control, line) == len(line)
        except OSError:
            return False

    def _enforce_stop(self) -> None:
        if self._stop_now_at and time.monotonic() - self._stop_now_at > KILL_AFTER:
            os.killpg(self._job.pid, signal.SIGKILL)

    def _record_ending(self) -> None:
        code = self._job.returncode
        ending = tell_ending(
            self.folder,
            self.log_name,
            exit_code=code,
            stopped_by_person=self._stop_now_at is not None,
            oom_kills=oom_kills() - self._oom_kills,
            first_event=self._first_event,
        )
        self._state = replace(
            self._state,
            status=ending.status,
            ended=time.time(),
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            cause=ending.cause,
            text=ending.text,
            hint=ending.hint,
        )
        for _ in range(_ENDING_TRIES):
            with contextlib.suppress(WorkbenchError):
                self._state.write(self.folder)
                return
            self._server.serve(1.0)


def main() -> int:
    """Entry of the supervisor's process."""
    folder, ready = Path(sys.argv[1]), int(sys.argv[2])
    with os.fdopen(ready, "wb") as announce:
        try:
            supervisor = Supervisor(folder)
        except (WorkbenchError, OSError) as error:
            announce.write(str(error).encode())
            return 1
        announce.write(b"ready")
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
