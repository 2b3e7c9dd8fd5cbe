"""The local socket: a doorbell and a control line between a supervisor and its clients.

A frame is a 4-byte big-endian length and that many bytes of UTF-8 JSON, 1 MiB at most.
The client says hello, the server welcome; then the server sends ticks ("there is more
in the log") and answers each command with an ack. Unknown types are ignored.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import selectors
import socket
import stat
import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.files import explain_os_error

PROTOCOL = 1
MAX_FRAME = 1 << 20
MAX_QUEUED = 64
"""Frames that may wait for a client; one that lets more pile up is cut off."""
MAX_CLIENTS = 64
"""Clients at once; one more is turned away."""
PATIENCE = 60.0
"""Seconds that a client may take nothing of what waits for it, and 10 for its hello; then it is
cut off. Its log reader loses nothing by that, and it may come again."""
_HELLO_WITHIN = 10.0
_LENGTH = struct.Struct(">I")
_MAX_PATH = 107
"""Bytes of a socket's path, by sun_path in unix(7)."""
_DIGITS = 16
_ROUSING = "rousing"
"""What a handle is registered with that is no client's."""

Message = dict[str, Any]


class ProtocolError(ConnectionError):
    """The other side sent what is no frame."""


def socket_folder() -> Path:
    """The folder of this person's sockets, private to them.

    Raises WorkbenchError when somebody else owns it or others could enter.
    """
    base = _runtime_folder()
    folder = base / f"v{PROTOCOL}"
    for path in (base, folder):
        try:
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
            status = path.lstat()
        except OSError as error:
            raise explain_os_error(error, f"make the socket folder {path}") from error
        private = stat.S_ISDIR(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o077
        if status.st_uid != os.getuid() or not private:
            raise WorkbenchError(
                f"The socket folder {path} is not private to you.",
                "Remove it, or set XDG_RUNTIME_DIR to a folder of your own with mode 0700.",
            )
    return folder


def _runtime_folder() -> Path:
    """Under $XDG_RUNTIME_DIR, else under /tmp.

    Batch systems and tmux hand on a variable whose folder is gone; and in a folder with a
    long name a socket would have a path over the limit.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(runtime) / "workbench"
    longest = len(os.fsencode(base / f"v{PROTOCOL}" / ("0" * _DIGITS + ".sock")))
    if base.is_absolute() and longest <= _MAX_PATH and os.access(runtime, os.W_OK | os.X_OK):
        return base
    return Path(f"/tmp/workbench-{os.getuid()}")  # noqa: S108


def socket_path(job_folder: Path) -> Path:
    """Where the job in `job_folder` listens: a short hash, since 107 bytes is the limit."""
    digest = hashlib.sha256(os.fsencode(job_folder.resolve())).hexdigest()[:_DIGITS]
    return socket_folder() / f"{digest}.sock"


def pack(message: Message) -> bytes:
    """The frame of a message. Raises ProtocolError when it is over 1 MiB."""
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair can't be UTF-8; it stays the JSON escape that it came as.
    body = text.encode("utf-8", "backslashreplace")
    if len(body) > MAX_FRAME:
        raise ProtocolError(f"a frame of {len(body)} bytes is over {MAX_FRAME}")
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises ProtocolError on what is no frame."""
        self._buffer += data
        messages: list[Message] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME:
                raise ProtocolError(f"a frame of {length} bytes is over {MAX_FRAME}")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            try:
                message = json.loads(self._buffer[_LENGTH.size : end])
            except (ValueError, RecursionError) as error:
                raise ProtocolError(f"not JSON: {error}") from error
            if not isinstance(message, dict):
                raise ProtocolError("not a JSON object")
            messages.append(message)
            del self._buffer[:end]
        return messages


class _Client:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.unpacker = Unpacker()
        self.greeted = False
        self.came = time.monotonic()
        self.blocked_since: float | None = None
        """Since when it takes nothing of what waits for it."""
        self.queue: deque[bytes] = deque()
        self.tick: Message | None = None
        """The newest tick that waits; an older one is dropped, so ticks never pile up."""

    def pending(self) -> bool:
        return bool(self.queue) or self.tick is not None

    def is_lost(self, now: float) -> bool:
        """Whether it has not said hello, or not read, for too long."""
        if not self.greeted and now - self.came > _HELLO_WITHIN:
            return True
        return self.blocked_since is not None and now - self.blocked_since > PATIENCE

    def flush(self) -> None:
        """Send what the socket takes now. Raises OSError when the client is gone."""
        while self.pending():
            if not self.queue and self.tick is not None:
                self.queue.append(pack(self.tick))
                self.tick = None
            try:
                sent = self.connection.send(self.queue[0])
            except BlockingIOError:
                self.blocked_since = self.blocked_since or time.monotonic()
                return
            self.blocked_since = None
            if sent < len(self.queue[0]):
                self.queue[0] = self.queue[0][sent:]
                return
            self.queue.popleft()


class Server:
    """The supervisor's end. Never blocks: call `serve` often, from one thread."""

    def __init__(self, path: Path, on_command: Callable[[Message], Message]) -> None:
        """Listen on `path`, whose folder is private; `on_command` gives a command's ack."""
        self.path = path
        self._on_command = on_command
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, _Client] = {}
        self._last_tick: Message = {"type": "tick", "bytes": 0}
        self._listener = self._bind(path)
        self._selector.register(self._listener, selectors.EVENT_READ)

    @staticmethod
    def _bind(path: Path) -> socket.socket:
        # A socket file that a crash left is removed under a lock, and only when nobody
        # answers on it: two supervisors must not take it from each other.
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                    # A supervisor too busy to accept would otherwise keep us waiting.
                    probe.setblocking(False)
                    if probe.connect_ex(str(path)) != errno.ECONNREFUSED:
                        raise WorkbenchError(f"Another supervisor listens on {path}.")
                path.unlink()
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            previous = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(previous)
            # Under the lock still: one that is bound and doesn't listen yet looks dead.
            listener.listen(16)
        listener.setblocking(False)
        return listener

    def serve(self, timeout: float) -> None:
        """Answer whoever is there, for at most `timeout` seconds without traffic."""
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._listener:
                self._accept()
                continue
            if key.data == _ROUSING:
                self._selector.unregister(key.fd)
                os.close(key.fd)
                continue
            client = self._clients.get(key.fd)
            if client is not None:
                self._exchange(client, events)
        now = time.monotonic()
        for client in list(self._clients.values()):
            if client.is_lost(now):
                self._drop(client)

    def be_roused_by(self, handle: int) -> None:
        """Have one `serve` return as soon as `handle` can be read, such as a pidfd, which can be
        once its process has ended. It is closed then."""
        self._selector.register(handle, selectors.EVENT_READ, _ROUSING)

    def tick(self, size: int) -> None:
        """Tell every client that the log has `size` bytes now."""
        if size == self._last_tick["bytes"]:
            return
        self._last_tick = {"type": "tick", "bytes": size}
        for client in list(self._clients.values()):
            if client.greeted:
                client.tick = self._last_tick
                self._send(client)

    def listen_on(self, path: Path) -> None:
        """Listen on `path` from now on. Raises WorkbenchError or OSError when that can't be
        done; then it can be tried again."""
        listener = self._bind(path)
        self._selector.unregister(self._listener)
        self._listener.close()
        self.path, self._listener = path, listener
        self._selector.register(listener, selectors.EVENT_READ)

    def stop_listening(self) -> None:
        """Take no new client, and leave the path to another server."""
        if self._listener.fileno() != -1:
            self._selector.unregister(self._listener)
            self._listener.close()
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        self.stop_listening()
        for client in list(self._clients.values()):
            self._drop(client)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                # It stays in the queue, and select would come back at once, again and again.
                time.sleep(0.05)
            return  # else it has left again
        credentials = connection.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
        )
        _, uid, _ = struct.unpack("3i", credentials)
        if uid != os.getuid() or len(self._clients) >= MAX_CLIENTS:
            connection.close()
            return
        connection.setblocking(False)
        self._clients[connection.fileno()] = _Client(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _exchange(self, client: _Client, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                data = client.connection.recv(1 << 16)
                if not data:
                    self._drop(client)
                    return
                for message in client.unpacker.feed(data):
                    self._answer(client, message)
        except OSError:  # what is no frame among them
            self._drop(client)
            return
        self._send(client)

    def _answer(self, client: _Client, message: Message) -> None:
        kind = message.get("type")
        if kind == "hello":
            if message.get("protocol") != PROTOCOL:
                text = f"This run speaks protocol {PROTOCOL}; start a workbench that does, too."
                client.queue.append(pack({"type": "error", "text": text}))
                return
            client.greeted = True
            client.queue.append(pack({"type": "welcome", "protocol": PROTOCOL, "pid": os.getpid()}))
            client.tick = self._last_tick
        elif kind == "command" and client.greeted:
            client.queue.append(pack(self._on_command(message)))

    def _send(self, client: _Client) -> None:
        try:
            client.flush()
        except OSError:
            self._drop(client)
            return
        if len(client.queue) > MAX_QUEUED:
            self._drop(client)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.pending() else 0)
        self._selector.modify(client.connection, wanted)

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.connection.fileno(), None) is not None:
            self._selector.unregister(client.connection)
            client.connection.close()


class Connection:
    """A client's end of a job's socket."""

    def __init__(self, path: Path, timeout: float = 5.0) -> None:
        """Connect and shake hands.

        Raises WorkbenchError when nobody listens or the protocols differ.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._unpacker = Unpacker()
        self._inbox: deque[Message] = deque()
        try:
            self._socket.connect(str(path))
            self._socket.sendall(pack({"type": "hello", "protocol": PROTOCOL}))
            answer = self._receive_until(lambda m: m.get("type") in ("welcome", "error"), timeout)
        except OSError as error:
            self._socket.close()
            raise WorkbenchError("The run's supervisor does not answer.") from error
        if answer is None or answer["type"] == "error":
            self._socket.close()
            raise WorkbenchError((answer or {}).get("text", "The supervisor did not answer."))

    def command(self, command: str, timeout: float = 10.0, **fields: Any) -> Message:
        """Send a command and return its ack. Raises WorkbenchError when none comes."""
        message_id = os.urandom(6).hex()
        try:
            self._socket.sendall(
                pack({"type": "command", "command": command, "id": message_id, **fields})
            )
            ack = self._receive_until(lambda m: m.get("id") == message_id, timeout)
        except OSError as error:
            raise WorkbenchError("The run's supervisor went away.") from error
        if ack is None:
            raise WorkbenchError("The run's supervisor did not acknowledge the command.")
        if ack.get("type") == "error":
            raise WorkbenchError(ack.get("text", "The command was refused."))
        return ack

    def wait(self, timeout: float) -> bool:
        """Wait for the next tick; False when none came in `timeout` seconds.

        Raises ConnectionError when the supervisor is gone.
        """
        return self._receive_until(lambda m: m.get("type") == "tick", timeout) is not None

    def close(self) -> None:
        self._socket.close()

    def _receive_until(self, wanted: Callable[[Message], bool], timeout: float) -> Message | None:
        deadline = time.monotonic() + timeout
        while True:
            while self._inbox:
                message = self._inbox.popleft()
                if wanted(message):
                    return message
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return None
            self._socket.settimeout(remaining)
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                return None
            if not data:
                raise ConnectionError("closed by the other side")
            self._inbox.extend(self._unpacker.feed(data))
