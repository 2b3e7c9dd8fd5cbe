"""Files that are whole or absent: temporary file, fsync, rename, and fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from workbench.errors import WorkbenchError

_OS_HINTS = {
    errno.ENOSPC: ("the disk is full", "Free some space, or name another workspace."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or name another workspace."),
    errno.EROFS: ("the file system is read-only", "Name a workspace that can be written."),
    errno.EACCES: ("permission denied", "Check who owns it, or name another workspace."),
    errno.EPERM: ("permission denied", "Check who owns it, or name another workspace."),
    errno.ENOENT: ("no such file or folder", "Check the path."),
    errno.EISDIR: ("it is a folder", "Name a file."),
    errno.ENOTDIR: ("part of the path is a file", "Check the path."),
}
_CAUSES = {errno.ENOSPC: "disk_full", errno.EDQUOT: "disk_full", errno.EROFS: "read_only"}


def explain_os_error(error: OSError, doing: str) -> WorkbenchError:
    """One sentence for an operating system error met while `doing` something.

    Its cause is `disk_full` where there is no room, or none for this person, `read_only` where
    the file system is, else `bad_input`.
    """
    reason, hint = _OS_HINTS.get(error.errno or 0, (error.strerror or str(error), ""))
    place = f" ({error.filename})" if error.filename and str(error.filename) not in doing else ""
    cause = _CAUSES.get(error.errno or 0, "bad_input")
    return WorkbenchError(f"Could not {doing}{place}: {reason}.", hint, cause)


def user_path(text: str | Path) -> Path:
    """A path that a person wrote; `~` is their home, and stays where there is no such home."""
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Write `path` whole: the old file stays until the new one is on disk.

    Raises WorkbenchError on a full disk, a read-only file system and the like, with
    nothing half-written left behind.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(_plain_mode(0o666))
        Path(temporary).replace(path)
        temporary = None
        _sync(path.parent)
    except OSError as error:
        raise explain_os_error(error, f"write {path}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole."""
    with writing(path) as stream:
        stream.write(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises WorkbenchError naming the file when it can't."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
    except (ValueError, RecursionError) as error:
        raise WorkbenchError(f"{path} is not valid JSON: {error}.") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object. Raises WorkbenchError naming the file otherwise."""
    body = read_json(path)
    if not isinstance(body, dict):
        raise WorkbenchError(f"{path} holds no JSON object.")
    return body


@contextmanager
def building_folder(path: Path) -> Iterator[Path]:
    """Fill a folder whole: yields a hidden sibling that becomes `path` at the end.

    Every file in it is on disk before the folder has its name, and may be read by
    whomever the umask lets (safetensors writes for the owner alone). Raises
    WorkbenchError when `path` exists already or can't be written; a failure inside
    leaves nothing behind. What one that was killed has left is removed by the next.
    """
    if path.exists():
        raise WorkbenchError(f"{path} exists already.", "Remove it first, or choose another name.")
    with scratch_folder(path) as temporary:
        yield temporary
        _settle(temporary)
        temporary.replace(path)
        _sync(path.parent)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A hidden sibling of `path` for files on their way there, gone at the end.

    Raises WorkbenchError when it can't be written. What one that was killed has left is removed
    by the next.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        held = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        _hold(held)
    except OSError as error:
        raise explain_os_error(error, f"write {path}") from error
    try:
        yield temporary
    except OSError as error:
        raise explain_os_error(error, f"write {path}") from error
    finally:
        os.close(held)
        shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):  # what was meant, or somebody else's, is in it
            for folder in made:
                folder.rmdir()


def _remove_abandoned(path: Path) -> None:
    """Remove the hidden siblings of `path` whose builders were killed: nobody holds them."""
    for folder in path.parent.glob(f".{glob.escape(path.name)}.*"):
        with contextlib.suppress(OSError):  # it is done, or somebody else removes it
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if _hold(handle):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _hold(handle: int) -> bool:
    """Lock what is open, until it is closed or this process ends; False when another has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # or a file system without locks
        return False
    return True


def _settle(folder: Path) -> None:
    """Give a folder and all in it their modes, and wait until they are on disk."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(_plain_mode(0o666))
                _sync(path)
        Path(parent).chmod(_plain_mode(0o777))
        _sync(Path(parent))


def _plain_mode(mode: int) -> int:
    """What the umask leaves of `mode`, as for a file that is made by open()."""
    # No call only reads the umask; /proc does, and doesn't change it for other threads.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return mode & ~int(line.split()[1], 8)
    return mode & ~0o022


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems can't be asked to; the rename itself has worked there.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def is_read_only(folder: Path) -> bool:
    """Whether the file system of a folder takes no writes, by its mount's options."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return True
    # ext4 since Linux 6.15 stays mounted for writing after an error, and refuses each write.
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError, IndexError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields = line.split()
            if fields[2] == wanted and "emergency_ro" in fields[-1].split(","):
                return True
    return False


def copy_if_there(path: Path, folder: Path) -> None:
    """Copy a file into `folder`; nothing where there is none."""
    if path.exists():
        shutil.copyfile(path, folder / path.name)


def folder_size(path: Path) -> int:
    """Bytes of all files in a folder and below."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def sha256_folder(folder: Path) -> str:
    """SHA-256 of the names and the contents of a folder's files, in hexadecimal. Raises
    WorkbenchError when one can't be read."""
    digest = hashlib.sha256()
    try:
        files = [path for path in folder.rglob("*") if path.is_file()]
    except OSError as error:
        raise explain_os_error(error, f"read {folder}") from error
    for name, path in sorted((os.fsencode(path.relative_to(folder)), path) for path in files):
        # No name has a NUL in it, and every hash is as long.
        digest.update(name + b"\0" + sha256_file(path).encode())
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. Raises WorkbenchError when it can't be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise explain_os_error(error, f"read {path}") from error
