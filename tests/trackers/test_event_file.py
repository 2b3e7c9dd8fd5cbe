from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.trackers import event_reading
from workbench.trackers import event_file

MOMENT = 1795690281.908
# As tensorboard 2.21.0 writes them: its RecordWriter, of its own Event messages.
VERSION = "1800000000000000a37f4b2209ac1c7aca03c2da411a0d627261696e2e4576656e743a32633eb040"
SCALARS = (
    "2c00000000000000f4aecc4509ac1c7aca03c2da4110ac022a1e0a110a0a747261696e2f6c6f7373150000803e"
    "0a090a02c3a9150000807f139aad25"
)
START = "0f000000000000006d532b0909ac1c7aca03c2da4110043a02080140bb0a34"
TEXT = (
    "2600000000000000734fe30009000000000000f03f2a1b0a190a016e420a080712004204232068694a080a060a0474"
    "65787400e51092"
)


def test_crc32c_of_the_published_examples() -> None:
    # RFC 3720, appendix B.4, and the check value of the catalogue of CRC algorithms.
    assert event_file.crc32c(bytes(32)) == 0x8A9136AA
    assert event_file.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert event_file.crc32c(bytes(range(32))) == 0x46DD794E
    assert event_file.crc32c(b"123456789") == 0xE3069283


def test_records_are_those_of_tensorboard_byte_for_byte() -> None:
    assert event_file.version(MOMENT).hex() == VERSION
    # A number too large for 32 bits is infinity, as protobuf has it.
    figures = {"train/loss": 0.25, "é": 1e300}
    assert event_file.scalars(MOMENT, 300, figures).hex() == SCALARS
    assert event_file.begins(MOMENT, 4).hex() == START
    assert event_file.text(1.0, "n", "# hi").hex() == TEXT


def test_a_torn_end_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "events"
    records = [event_file.version(1.0), event_file.scalars(2.5, 1, {"a": math.nan})]
    for size, expected in ((0, (0, None)), (39, (0, None)), (40, (40, 1.0)), (70, (40, 1.0))):
        path.write_bytes(b"".join(records)[:size])
        assert event_file.whole(path) == expected
    path.write_bytes(b"".join(records))
    assert event_file.whole(path) == (len(b"".join(records)), 2.5)
    assert math.isnan(event_reading.shown(path)["a"][1])
    path.write_text("something else, of some length\n" * 9)
    assert event_file.whole(path) == (0, None)


def test_tensorboard_reads_it(tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    records = [event_file.version(1.0), event_file.begins(1.0, 0)]
    records += [event_file.scalars(10.0 + step, step, {"loss": 1 / step}) for step in range(1, 6)]
    records += [event_file.begins(20.0, 4)]
    records += [event_file.scalars(20.0 + step, step, {"loss": 2 / step}) for step in range(4, 8)]
    (tmp_path / "events.out.tfevents.1.workbench").write_bytes(b"".join(records))
    accumulator = reading.EventAccumulator(str(tmp_path))
    accumulator.Reload()
    found = [(event.wall_time, event.step, event.value) for event in accumulator.Scalars("loss")]
    assert found == [
        *((10.0 + step, step, pytest.approx(1 / step)) for step in range(1, 4)),
        *((20.0 + step, step, pytest.approx(2 / step)) for step in range(4, 8)),
    ]
