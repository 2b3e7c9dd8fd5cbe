"""The socket: paths at the limit, other people, other releases, garbage, clients that hang."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.invariants import told_in_words, whole_log
from tests.faults.matrix import Chance, play, play_each
from tests.jobs.conftest import StartJob
from tests.polling import eventually
from workbench.errors import WorkbenchError
from workbench.jobs import launch
from workbench.jobs.client import command
from workbench.jobs.socket import MAX_FRAME, PROTOCOL, Connection, pack, socket_path
from workbench.jobs.state import ENDED, HOST_LOG, JobState, describe

NOBODY = 65534


def listening(folder: Path) -> Path:
    """The socket of a job that runs."""
    state = JobState.read(folder)
    assert state is not None
    return Path(state.socket)


def finish(folder: Path) -> None:
    """Nothing that was done to its socket has harmed a job."""
    (folder / "go").touch()
    eventually(lambda: describe(folder)[0] in ENDED)
    assert told_in_words(folder) == "finished"
    whole_log(folder / launch.EVENTS)
    whole_log(folder / HOST_LOG)


@contextlib.contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(path))
        yield client


def cut_off(client: socket.socket) -> bytes:
    """What a client was told before it was cut off."""
    told = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(1 << 16):
            told += data
    return told


def test_paths_at_the_limit(
    start_job: StartJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """107 bytes are the most that a socket's path may have, by unix(7)."""
    ours = Path(tempfile.mkdtemp(prefix="wb-", dir="/tmp"))
    short = len(os.fsencode(ours / "workbench" / "v1" / f"{'0' * 16}.sock"))

    def trial(chance: Chance, length: int) -> None:
        runtime = ours / ("x" * (length - short - 1))
        runtime.mkdir(mode=0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        folder = start_job("work", tmp_path / f"path-{length}")
        path = listening(folder)
        if length <= 107:
            assert len(os.fsencode(path)) == length and path.is_relative_to(runtime)
        else:
            assert path.parent == Path(f"/tmp/workbench-{os.getuid()}/v{PROTOCOL}")  # noqa: S108
            chance.note("under /tmp instead")
        assert command(folder, "save_now")["type"] == "ack"
        finish(folder)

    try:
        play_each("socket: a path of 106 to 110 bytes", trial, range(106, 111), few=None)
    finally:
        shutil.rmtree(ours)


_AS_ANOTHER = """
import os, socket, sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(60)
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
try:
    client.connect(sys.argv[1])
except PermissionError:
    sys.exit("no entry")
try:
    client.sendall(bytes.fromhex(sys.argv[3]))
    sys.exit("answered" if client.recv(1 << 16) else "cut off")
except (ConnectionResetError, BrokenPipeError):
    sys.exit("cut off")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as somebody else")
def test_somebody_elses_uid(start_job: StartJob, tmp_path: Path) -> None:
    """Kept out by the folder's mode; and turned away where somebody has opened the folder."""
    hello = pack({"type": "hello", "protocol": PROTOCOL})
    stop = pack({"type": "command", "id": "1", "command": "stop_now"})

    def trial(chance: Chance, opened: bool) -> None:
        folder = start_job("work", tmp_path / f"uid-{chance.number}")
        path = listening(folder)
        places = {path: 0o666, path.parent: 0o755, path.parent.parent: 0o755}
        for place in (*places, path.parent.parent.parent):
            if opened:
                place.chmod(places.get(place, 0o755))
        asked = [sys.executable, "-I", "-c", _AS_ANOTHER, str(path), str(NOBODY)]
        ended = subprocess.run(
            [*asked, (hello + stop).hex()], capture_output=True, text=True, check=False
        )
        assert ended.stderr.strip() == ("cut off" if opened else "no entry"), ended.stderr
        for place in (path.parent, path.parent.parent, path.parent.parent.parent):
            place.chmod(0o700)
        assert describe(folder)[0] == "running"
        finish(folder)

    play_each("socket: another person's uid", trial, [False, True] * 10, few=2)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_of_sockets_that_is_not_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_away(folder: Path) -> None:
        os.chown(folder, NOBODY, NOBODY)

    def open_up(folder: Path) -> None:
        folder.chmod(0o750)

    def link(folder: Path) -> None:
        folder.rename(folder.with_name("elsewhere"))
        folder.symlink_to(folder.with_name("elsewhere"))

    def trial(chance: Chance, way: Callable[[Path], None]) -> None:
        with tempfile.TemporaryDirectory(prefix="wb-") as runtime:
            monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
            folder = socket_path(tmp_path).parent
            way(folder)
            with pytest.raises(WorkbenchError, match="not private to you"):
                socket_path(tmp_path)

    play_each("socket: a folder that others own or enter", trial, [give_away, open_up, link])


def test_other_protocol_versions(start_job: StartJob) -> None:
    folder = start_job("work")
    stop = pack({"type": "command", "id": "1", "command": "stop_now"})
    versions: list[object] = [0, PROTOCOL + 1, 99, -1, None, "1", [PROTOCOL], 1e300, {}, False]

    def trial(chance: Chance, version: object) -> None:
        with connected(listening(folder)) as client:
            client.sendall(pack({"type": "hello", "protocol": version}) + stop)
            (length,) = struct.unpack(">I", client.recv(4))
            told = client.recv(length).decode()
            assert '"error"' in told and f"protocol {PROTOCOL}" in told, told
        # A client of another release is told in words, too.
        assert describe(folder)[0] == "running"
        assert Connection(listening(folder)).command("save_now")["type"] == "ack"

    play_each("socket: older and newer protocol versions", trial, versions)
    finish(folder)


def test_frames_that_are_none(start_job: StartJob) -> None:
    folder = start_job("work")
    neighbour = Connection(listening(folder))
    hello = pack({"type": "hello", "protocol": PROTOCOL})
    good = pack({"type": "command", "id": "x", "command": "save_now"})

    def spoilt(chance: Chance) -> bytes:
        match chance.randrange(4):
            case 0:
                return chance.randbytes(chance.randrange(1, 4000))
            case 1:
                chance.note("over 1 MiB")
                return struct.pack(">I", chance.randrange(MAX_FRAME + 1, 1 << 32)) + b"{" * 99
            case 2:
                body = bytearray(good)
                for _ in range(chance.randint(1, 4)):
                    body[chance.randrange(len(body))] = chance.randrange(256)
                return bytes(body)
            case _:
                chance.note("broken off in a frame")
                return good[: chance.randrange(1, len(good))]

    def trial(chance: Chance) -> None:
        with connected(listening(folder)) as client, contextlib.suppress(OSError):
            client.sendall((hello if chance.random() < 0.7 else b"") + spoilt(chance))
            client.shutdown(socket.SHUT_WR)
            cut_off(client)
        assert neighbour.command("save_now")["type"] == "ack"
        assert describe(folder)[0] == "running"

    play("socket: malformed frames and frames over 1 MiB", trial, few=60, many=3000)
    finish(folder)


def test_clients_that_do_not_read(start_job: StartJob) -> None:
    """Some that never read, or are broken off while they are written to; the others are told
    everything, and the job goes on."""
    folder = start_job("work")
    hello = pack({"type": "hello", "protocol": PROTOCOL})
    asks = pack({"type": "command", "id": "x", "command": "no such command"})

    def trial(chance: Chance) -> None:
        with contextlib.ExitStack() as stack:
            deaf = [stack.enter_context(connected(listening(folder))) for _ in range(8)]
            for client in deaf:
                client.sendall(hello)
                client.setblocking(False)
                with contextlib.suppress(OSError):  # full, or cut off
                    for _ in range(chance.randrange(4000)):
                        client.sendall(asks)
            neighbour = Connection(listening(folder))
            assert neighbour.command("save_now")["type"] == "ack"
            assert neighbour.wait(60)
            neighbour.close()
        assert describe(folder)[0] == "running"

    play("socket: clients that don't read", trial, few=2, many=40)
    finish(folder)
