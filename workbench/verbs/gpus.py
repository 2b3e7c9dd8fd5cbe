"""`workbench gpus`: the GPUs, who is on them, and the host."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from workbench.text import visible
from workbench.verbs.common import fitted, leaf, table
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.hardware.gpu import Gpu

_NOTHING = "N/A"
_CLEAR = "\x1b[H\x1b[J"
"""Where the terminal begins, and nothing after it."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = leaf(
        subparsers,
        "gpus",
        help="the GPUs: memory, use, heat, why they are slowed, errors, who is on them",
        run=_look,
        show=_show,
    )
    parser.add_argument(
        "--watch", action="store_true", help="again and again, until Ctrl-C; --json: a line each"
    )
    parser.add_argument(
        "--every", type=_seconds, default=2.0, metavar="S", help="of --watch (default: 2)"
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.25 <= value <= 3600:
        raise argparse.ArgumentTypeError("0.25 to 3600 seconds")
    return value


def _look(args: argparse.Namespace) -> dict[str, Any]:
    from workbench.hardware.gpu_news import news
    from workbench.hardware.host import HostSampler, disk_free
    from workbench.hardware.nvml import Nvml

    root = Workspace.find(args.workspace).root
    nvml, host = Nvml(), HostSampler(root)
    before: list[Gpu] | None = None
    if args.watch:
        nvml.watch()

    def look() -> dict[str, Any]:
        nonlocal before
        gpus = nvml.sample(wait=True)
        told = news(before, gpus)
        before = gpus
        return {
            "driver": nvml.driver(),
            "reason": nvml.reason,
            "gpus": [gpu.to_json() for gpu in gpus],
            "news": told,
            "host": {**host.sample().to_json(), "disk_free": disk_free(root)},
        }

    while args.watch:
        _again(look(), as_json=args.json)
        time.sleep(args.every)
    return look()


def _again(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"time": time.time(), **result}), flush=True)
        return
    print(_CLEAR if sys.stdout.isatty() else "", end="")
    print(datetime.now().strftime("%H:%M:%S"))
    _show(result)
    print(end="", flush=True)


def _show(result: dict[str, Any]) -> None:
    from workbench.hardware.gpu import Gpu

    gpus = [Gpu.of(body) for body in result["gpus"]]
    if result["reason"]:
        print(visible(f"{result['reason']} Training runs on the processor."))
    elif not gpus:
        print("The NVIDIA driver shows no GPU. Training runs on the processor.")
    if gpus:
        headers = ["gpu", "memory", "busy", "power", "heat", "clock", "name"]
        print(table(headers, [_row(gpu) for gpu in gpus]))
    for text in result["news"]:
        print(fitted(visible(f"! {text}")))
    for gpu in gpus:
        for line in _lines(gpu):
            print(fitted(visible(f"{gpu.label}: {line}")))
    print(fitted(_host(result["host"])))


def _row(gpu: Gpu) -> list[object]:
    from workbench.hardware.gpu import against

    used, total = _gib(gpu.memory_used), _gib(gpu.memory_total)
    clock = gpu.clocks().replace(" of ", "/")
    place = str(gpu.index) if gpu.mig is None else f"{gpu.index} MIG {gpu.mig}"
    return [
        place,
        _NOTHING if gpu.memory_total is None else f"{used}/{total} GiB",
        _told(gpu.utilization, " %"),
        against(gpu.power, gpu.power_limit, "W"),
        against(gpu.temperature, gpu.slowdown_temperature, "°C"),
        clock or _NOTHING,
        gpu.name or _NOTHING,
    ]


def _lines(gpu: Gpu) -> list[str]:
    """What is remarkable; then the rest, where a whole GPU tells it."""
    lines = gpu.remarks()
    if gpu.instances:
        lines.append(f"split into {gpu.instances} (MIG): work runs on those")
    if gpu.mig is None and not gpu.state:
        lines.append(
            f"PCIe {_pcie(gpu)}, {_rate(gpu.pcie_sent)} out, {_rate(gpu.pcie_received)} in; "
            f"NVLink {_nvlink(gpu)}"
        )
        lines.append(
            f"memory errors {_errors(gpu.ecc_corrected, gpu.ecc_uncorrected)}, ever "
            f"{_errors(gpu.ecc_corrected_ever, gpu.ecc_uncorrected_ever)}; "
            f"fan {_told(gpu.fan, ' %')}; memory clock {_told(gpu.memory_clock, ' MHz')}"
        )
    return lines


def _errors(corrected: int | None, uncorrected: int | None) -> str:
    if corrected is None and uncorrected is None:
        return _NOTHING
    return f"{_told(corrected)} corrected and {_told(uncorrected)} not"


def _pcie(gpu: Gpu) -> str:
    now = f"{_told(gpu.pcie_generation)}.0 x{_told(gpu.pcie_width)}"
    most = f"{_told(gpu.pcie_generation_max)}.0 x{_told(gpu.pcie_width_max)}"
    if gpu.pcie_generation is None and gpu.pcie_width is None:
        return _NOTHING
    return now if now == most else f"{now} of {most}"


def _nvlink(gpu: Gpu) -> str:
    if gpu.nvlinks is None:
        return _NOTHING
    if not gpu.nvlinks_max:
        return "none"
    return (
        f"{gpu.nvlinks} of {gpu.nvlinks_max} up, {_rate(gpu.nvlink_sent)} out, "
        f"{_rate(gpu.nvlink_received)} in, {_told(gpu.nvlink_errors)} errors"
    )


def _host(host: dict[str, Any]) -> str:
    used, total = host["memory_limit_used"], host["memory_limit"]
    if total is None:
        used, total = host["memory_used"], host["memory_total"]
    load = _told(host["load1"])
    return (
        f"host: {_gib(used)}/{_gib(total)} GiB of memory, load {load} on {host['cpus']} "
        f"processors, {_gib(host['disk_free'])} GiB of disk free"
    )


def _told(value: float | None, unit: str = "") -> str:
    return _NOTHING if value is None else f"{value}{unit}"


def _rate(value: int | None) -> str:
    return _NOTHING if value is None else f"{value / 2**20:.1f} MiB/s"


def _gib(amount: int | None) -> str:
    return _NOTHING if amount is None else f"{amount / 2**30:.1f}"
