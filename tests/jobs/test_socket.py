from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.polling import eventually
from workbench.errors import WorkbenchError
from workbench.jobs import socket as jobs_socket
from workbench.jobs.socket import (
    MAX_CLIENTS,
    MAX_FRAME,
    PROTOCOL,
    Connection,
    Message,
    ProtocolError,
    Server,
    Unpacker,
    pack,
    socket_folder,
    socket_path,
)

HELLO: Message = {"type": "hello", "protocol": PROTOCOL}


class Running:
    """A server in a thread of its own, as a supervisor drives it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commands: list[Message] = []
        self.size = 0
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._server = Server(path, self._on_command)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _on_command(self, message: Message) -> Message:
        self.commands.append(message)
        return {"type": "ack", "id": message.get("id"), "command": message.get("command")}

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._server.serve(0.01)
                self._server.tick(self.size)
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._server.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return socket_path(tmp_path)


@pytest.fixture
def running(path: Path) -> Iterator[Running]:
    server = Running(path)
    yield server
    server.stop()
    assert server.error is None


@pytest.fixture
def raw(running: Running) -> Iterator[Callable[[], socket.socket]]:
    """Bare connections, for clients that don't behave."""
    with contextlib.ExitStack() as stack:

        def connect() -> socket.socket:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(60)
            client.connect(str(running.path))
            return client

        yield connect


def receive(client: socket.socket, unpacker: Unpacker | None = None) -> Message:
    """The next message that is no tick."""
    unpacker = unpacker or Unpacker()
    while True:
        data = client.recv(1 << 16)
        if not data:
            raise ConnectionError("cut off")
        for message in unpacker.feed(data):
            if message["type"] != "tick":
                return message


def is_cut_off(client: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        while client.recv(1 << 16):
            pass
    return True


def test_hello_is_welcomed_and_a_command_acknowledged(running: Running) -> None:
    connection = Connection(running.path)
    ack = connection.command("stop", note="Grüße")
    assert ack["type"] == "ack" and ack["command"] == "stop"
    (command,) = running.commands
    assert (command["command"], command["note"]) == ("stop", "Grüße")
    connection.close()


def test_a_client_is_told_that_the_log_has_grown(running: Running) -> None:
    connection = Connection(running.path)
    assert connection.wait(60)  # the tick that follows every welcome
    assert not connection.wait(0.05)
    running.size = 1234
    assert connection.wait(60)
    connection.close()


def test_a_client_notices_that_the_server_has_gone(path: Path) -> None:
    running = Running(path)
    connection = Connection(path)
    running.stop()
    assert not path.exists()
    with pytest.raises(ConnectionError):
        while True:
            connection.wait(60)
    with pytest.raises(WorkbenchError, match="went away"):
        connection.command("stop")
    with pytest.raises(WorkbenchError, match="does not answer"):
        Connection(path)


def test_another_protocol_is_refused_in_words(
    running: Running, raw: Callable[[], socket.socket]
) -> None:
    client = raw()
    client.sendall(pack({"type": "hello", "protocol": PROTOCOL + 1}))
    answer = receive(client)
    assert answer["type"] == "error" and f"protocol {PROTOCOL}" in answer["text"]
    client.sendall(pack({"type": "command", "id": "1", "command": "stop"}))
    assert Connection(running.path).command("save_now")["type"] == "ack"
    assert [c["command"] for c in running.commands] == ["save_now"]


def test_a_command_before_the_hello_is_ignored(
    running: Running, raw: Callable[[], socket.socket]
) -> None:
    client = raw()
    client.sendall(pack({"type": "command", "id": "early", "command": "stop"}) + pack(HELLO))
    assert receive(client)["type"] == "welcome"
    assert running.commands == []


def test_unknown_types_are_ignored(running: Running, raw: Callable[[], socket.socket]) -> None:
    client = raw()
    client.sendall(pack(HELLO))
    assert receive(client)["type"] == "welcome"
    client.sendall(
        pack({"type": "from the future"})
        + pack({"no": "type"})
        + pack({"type": "command", "id": "1", "command": "stop"})
    )
    assert receive(client) == {"type": "ack", "id": "1", "command": "stop"}


def test_a_message_may_come_in_any_pieces(raw: Callable[[], socket.socket]) -> None:
    client = raw()
    for byte in pack(HELLO):
        client.sendall(bytes([byte]))
    assert receive(client)["type"] == "welcome"


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack(">I", MAX_FRAME + 1) + b"x",
        b"\xff" * 64,
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", 3) + b"abc",
        struct.pack(">I", 2) + b"[]",
        struct.pack(">I", 4) + b"\xff\xfe\xfd\xfc",
        struct.pack(">I", 200_000) + b"[" * 200_000,
        struct.pack(">I", 0),
    ],
    ids=["over 1 MiB", "ones", "http", "no json", "a list", "no utf-8", "deep", "empty"],
)
def test_garbage_is_cut_off_and_harms_nobody_else(
    running: Running, raw: Callable[[], socket.socket], garbage: bytes
) -> None:
    neighbour = Connection(running.path)
    client = raw()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(pack(HELLO) + garbage)
    assert is_cut_off(client)
    assert neighbour.command("save_now")["type"] == "ack"
    neighbour.close()


def test_half_a_surrogate_pair_in_an_id_is_acknowledged_as_it_came(
    raw: Callable[[], socket.socket],
) -> None:
    client = raw()
    body = rb'{"type":"command","id":"\ud800","command":"stop"}'
    client.sendall(pack(HELLO))
    assert receive(client)["type"] == "welcome"
    client.sendall(struct.pack(">I", len(body)) + body)
    assert receive(client)["id"] == "\ud800"


def test_a_frame_of_just_1_mib_is_taken(running: Running, raw: Callable[[], socket.socket]) -> None:
    overhead = len(pack({"type": "x", "filler": ""})) - 4
    frame = pack({"type": "x", "filler": "x" * (MAX_FRAME - overhead)})
    assert len(frame) == MAX_FRAME + 4
    client = raw()
    client.sendall(frame + pack(HELLO))
    assert receive(client)["type"] == "welcome"
    with pytest.raises(ProtocolError):
        pack({"type": "x", "filler": "x" * MAX_FRAME})


def test_a_server_is_roused_once_by_the_end_of_a_process(path: Path) -> None:
    server = Server(path, lambda message: message)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        handle = os.pidfd_open(process.pid)
        server.be_roused_by(handle)
        server.serve(0)
        os.fstat(handle)
    # Without it the test would run into its limit.
    server.serve(3600)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)
    server.serve(0)
    server.close()


def test_a_client_that_never_reads_blocks_nobody_and_its_ticks_coalesce(path: Path) -> None:
    """Driven by hand, so that the sleeper's socket is full long before the last tick."""
    server = Server(path, lambda message: {"type": "ack", "id": message["id"]})
    with socket.socket(socket.AF_UNIX) as sleeper, socket.socket(socket.AF_UNIX) as neighbour:
        for client in (sleeper, neighbour):
            client.settimeout(60)
            client.connect(str(path))
            server.serve(1)
            client.sendall(pack(HELLO))
            server.serve(1)
        assert receive(neighbour)["type"] == "welcome"
        for size in range(1, 20_001):
            server.tick(size)
            if size % 100 == 0:
                neighbour.recv(1 << 16)
        neighbour.sendall(pack({"type": "command", "id": "1", "command": "stop"}))
        server.serve(1)
        assert receive(neighbour) == {"type": "ack", "id": "1"}

        unpacker, sizes = Unpacker(), list[int]()
        while not sizes or sizes[-1] != 20_000:
            sizes += [m["bytes"] for m in unpacker.feed(sleeper.recv(1 << 20)) if "bytes" in m]
            server.serve(0)
        assert sizes == sorted(sizes)
        assert len(sizes) < 20_000
    server.close()


def test_a_client_that_lets_answers_pile_up_is_cut_off(
    running: Running, raw: Callable[[], socket.socket]
) -> None:
    client = raw()
    client.sendall(pack(HELLO))
    command = pack({"type": "command", "id": "x" * 2000, "command": "stop"})
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(5000):
            client.sendall(command)
    assert Connection(running.path).command("save_now")["type"] == "ack"


def test_more_clients_than_there_is_room_for_are_turned_away(
    running: Running, raw: Callable[[], socket.socket]
) -> None:
    for _ in range(MAX_CLIENTS):
        client = raw()
        client.sendall(pack(HELLO))
        assert receive(client)["type"] == "welcome"
    with pytest.raises(WorkbenchError):
        Connection(running.path)
    client.close()
    eventually(lambda: _connects(running.path))


def _connects(path: Path) -> bool:
    try:
        Connection(path).close()
    except WorkbenchError:
        return False
    return True


def test_a_socket_file_that_a_crash_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
        crashed.listen()
    assert path.exists()
    running = Running(path)
    assert _connects(path)
    running.stop()


def test_a_socket_that_a_live_supervisor_listens_on_is_left_to_it(running: Running) -> None:
    with pytest.raises(WorkbenchError, match="Another supervisor"):
        Server(running.path, lambda message: message)
    assert _connects(running.path)


def test_a_supervisor_too_busy_to_accept_is_not_taken_for_dead(path: Path) -> None:
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(str(path))
        busy.listen(0)
        while True:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            if client.connect_ex(str(path)):
                break
        with pytest.raises(WorkbenchError, match="Another supervisor"):
            Server(path, lambda message: message)
    path.unlink()


def test_the_socket_is_for_its_owner_alone(running: Running) -> None:
    assert running.path.stat().st_mode & 0o777 == 0o600
    assert running.path.parent.stat().st_mode & 0o777 == 0o700
    assert running.path.parent.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("which", ["workbench", "workbench/v1"])
def test_a_folder_that_others_can_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "workbench").mkdir(mode=0o700)
    (tmp_path / which).mkdir(mode=0o700, exist_ok=True)
    (tmp_path / which).chmod(0o755)
    with pytest.raises(WorkbenchError, match="not private"):
        socket_folder()


def test_a_link_in_the_place_of_the_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "workbench").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorkbenchError, match="not private"):
        socket_folder()


def test_a_socket_path_is_short_however_deep_the_job_and_the_runtime_folder_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Path("/") / "/".join(["a-long-folder-name"] * 30)
    assert len(os.fsencode(socket_path(job))) <= 107
    assert socket_path(job) != socket_path(job / "other")
    deep = tmp_path / ("d" * 100)
    deep.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    path = socket_path(job)
    assert len(os.fsencode(path)) <= 107
    assert deep not in path.parents


@pytest.mark.parametrize("value", ["", "relative/folder", "/no/such/folder"])
def test_a_runtime_folder_that_is_not_there_is_done_without(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """As in a Slurm job, where the variable is handed on and its folder is not."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    assert socket_folder() == Path(f"/tmp/workbench-{os.getuid()}/v{PROTOCOL}")  # noqa: S108


def test_a_client_that_takes_nothing_is_cut_off_and_others_see_everything(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped terminal: its socket fills up, and ticks for it coalesce meanwhile."""
    monkeypatch.setattr(jobs_socket, "PATIENCE", 0.2)
    stopped = Connection(running.path)
    reading = Connection(running.path)

    def is_cut_off() -> bool:
        running.size += 1
        assert reading.wait(60)
        # The peer's end is gone once nothing can be sent to it.
        try:
            stopped._socket.sendall(pack({"type": "unknown"}))
        except (BrokenPipeError, ConnectionResetError):
            return True
        return False

    eventually(is_cut_off)
    assert reading.command("save_now")["type"] == "ack"
    assert running.error is None


def test_a_client_that_never_says_hello_is_cut_off(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_socket, "_HELLO_WITHIN", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.settimeout(60)
        silent.connect(str(running.path))
        assert silent.recv(1) == b""
