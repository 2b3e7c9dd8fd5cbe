"""Files of text as UTF-8, whatever they are written in: gzip is unpacked, and other encodings are
told by their byte-order mark or named by a person."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    _Buffered = io.BufferedReader[Any]

GZIP = ".gz"
_BLOCK = 1 << 13
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""UTF-32 first: its mark begins with that of UTF-16."""
_UTF8 = ("utf-8", "utf-8-sig")


class Opened:
    """A file that is read as UTF-8."""

    def __init__(self, stream: _Buffered, raw: IO[bytes], *, plain: bool) -> None:
        self.stream = stream
        self.plain = plain
        """Whether the bytes are those of the file."""
        self._raw = raw

    @property
    def reached(self) -> int:
        """Bytes of the file that are behind one, up to a block more than were asked for."""
        return self._raw.tell()


def suffix_of(path: Path) -> str:
    """What the end of the name says that the file is, without that of gzip: `.jsonl`."""
    name = path.with_suffix("") if path.suffix.lower() == GZIP else path
    return name.suffix.lower()


def check_encoding(name: str) -> str:
    """The encoding's name as a recipe has it; empty for UTF-8, with a mark or without.

    Raises WorkbenchError for what is no encoding of text.
    """
    if not name:
        return ""
    try:
        found = codecs.lookup(name)
        "a".encode(found.name)  # others than those of text refuse
        if found.incrementaldecoder is None:
            raise LookupError(name)
    except (LookupError, ValueError, TypeError) as error:
        raise WorkbenchError(
            f"There is no encoding {name!a}.", "Such as utf-8, utf-16, cp1252, latin-1, gb18030."
        ) from error
    return "" if found.name in _UTF8 else found.name


@contextmanager
def opened(path: Path, encoding: str = "", *, strict: bool = False) -> Iterator[Opened]:
    """A file as UTF-8, for as long as the block runs.

    `encoding` is what it is written in; empty: UTF-8, or UTF-16 and UTF-32 by their mark. What
    is UTF-8 already goes through as it is, unless `strict`: then it is proved.

    Raises WorkbenchError, while it is read, with line and byte where the encoding is another,
    and where what gzip has packed is damaged; OSError when the file can't be read.
    """
    with path.open("rb") as raw:
        packed = path.suffix.lower() == GZIP
        stream: Any = io.BufferedReader(_Unpacked(path, raw)) if packed else raw
        head = stream.peek(4)
        told = encoding or next((name for mark, name in _MARKS if head.startswith(mark)), "")
        if told or strict:
            stream = io.BufferedReader(_Recoded(path, stream, told or "utf-8"), _BLOCK)
        yield Opened(stream, raw, plain=not (told or packed))


class _Unpacked(io.RawIOBase):
    """What gzip has packed. Raises WorkbenchError where it is damaged."""

    def __init__(self, path: Path, raw: IO[bytes]) -> None:
        self._path = path
        self._file = gzip.GzipFile(fileobj=raw, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._file.read1(len(buffer))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise WorkbenchError(
                f"{self._path} can't be unpacked by gzip: {error}.", "Fetch or pack it again."
            ) from error
        buffer[: len(data)] = data
        return len(data)


class _Recoded(io.RawIOBase):
    """The bytes of a file in another encoding as those of UTF-8."""

    def __init__(self, path: Path, file: IO[bytes], encoding: str) -> None:
        self._path = path
        self._file = file
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._line = 1
        self._byte = 0
        """Bytes of the file, unpacked, that went into the decoder."""
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            self._ready = self._next()
        data, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)

    def _next(self) -> bytes:
        block = self._file.read(_BLOCK)
        self._ended = not block
        pending = self._decoder.getstate()[0]
        try:
            text = self._decoder.decode(block, final=self._ended)
            data = text.encode("utf-8")
        except UnicodeError as error:
            raise self._refusal(pending + block, self._byte - len(pending), error) from error
        self._byte += len(block)
        self._line += text.count("\n")
        return data

    def _refusal(self, data: bytes, first: int, error: UnicodeError) -> WorkbenchError:
        """`data` is what was to be decoded, and begins at the byte `first`."""
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        before = data[:start].decode(self._encoding, "replace")
        name = self._encoding.upper() if self._encoding.startswith("utf") else self._encoding
        return WorkbenchError(
            f"{self._path} is not {name}: line {self._line + before.count(chr(10))}, "
            f"byte {first + start + 1} of the file.",
            "Name what it is written in by --encoding, such as cp1252 or utf-16, or save it as "
            "UTF-8.",
        )
