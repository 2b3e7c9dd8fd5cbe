"""A base that is only on the hub: what its two small files say, by a hub of our own on a socket."""

from __future__ import annotations

import json
import re
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from workbench.config.base_facts import BaseFacts
from workbench.workspace import Workspace

TOKEN = "hf_thisIsASecret"  # noqa: S105
CONFIG = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64}
CONFIG |= {"num_attention_heads": 4, "tie_word_embeddings": True}


def layer(number: int) -> dict[str, list[int]]:
    at = f"model.layers.{number}"
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    return {f"{at}.self_attn.{name}.weight": [64, 64] for name in names} | {
        f"{at}.mlp.gate_proj.weight": [128, 64],
        f"{at}.mlp.up_proj.weight": [128, 64],
        f"{at}.mlp.down_proj.weight": [64, 128],
        f"{at}.input_layernorm.weight": [64],
    }


ENDS = {"model.embed_tokens.weight": [512, 64], "model.norm.weight": [64]}
WEIGHTS = 1 << 20
"""Bytes of each file behind its header, which nobody should ask for."""


def file_of(shapes: dict[str, list[int]]) -> bytes:
    header = json.dumps({n: {"dtype": "BF16", "shape": s} for n, s in shapes.items()}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(WEIGHTS)


def index_of(**files: dict[str, list[int]]) -> bytes:
    names = {name: f"{file}.safetensors" for file, shapes in files.items() for name in shapes}
    return json.dumps({"weight_map": names}).encode()


SINGLE = {"config.json": json.dumps(CONFIG).encode()}
SINGLE["model.safetensors"] = file_of(ENDS | layer(0) | layer(1))
SHARDED = {
    "config.json": SINGLE["config.json"],
    "model.safetensors.index.json": index_of(one=ENDS | layer(0), two=layer(1)),
    "one.safetensors": file_of(ENDS | layer(0)),
    "two.safetensors": file_of(layer(1)),
}
PICKLED = {"config.json": SINGLE["config.json"], "pytorch_model.bin": b"cos\nsystem\n(S'boom'\ntR."}
BROKEN = {"config.json": SINGLE["config.json"], "model.safetensors": b"\xff" * 64}


class Hub(ThreadingHTTPServer):
    """Models by name; each request is noted as (host, file, range, what authorises it)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.models = {"org/single": SINGLE, "org/sharded": SHARDED}
        self.models |= {"org/pickled": PICKLED, "org/broken": BROKEN}
        self.ranges = True
        self.silent = threading.Event()
        self.sends_on_to = ""
        self.asked: list[tuple[str, str, str]] = []
        self.sent = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        found = re.fullmatch(r"/(?:cdn/)?(\w+/\w+)/(?:resolve/main/)?(.+)", self.path)
        assert found, self.path
        name, file = found.groups()
        hub = self.server
        hub.asked.append((file, self.headers["range"] or "", self.headers["authorization"] or ""))
        if name == "org/silent":
            hub.silent.wait(30)
            return
        if name == "org/gated":
            self._answer(401 if not self.headers["authorization"] else 403, error="GatedRepo")
        elif name not in hub.models:
            self._answer(401, error="RepoNotFound")
        elif file not in hub.models[name]:
            self._answer(404, error="EntryNotFound")
        elif hub.sends_on_to and file.endswith(".safetensors") and "/cdn/" not in self.path:
            self.send_response(302)
            self.send_header("Location", f"{hub.sends_on_to}/cdn/{name}/{file}")
            self.send_header("X-Repo-Commit", "c0ffee")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(hub.models[name][file])

    def _send(self, content: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["range"] or "")
        if not (wanted and self.server.ranges):
            self._answer(200, content)
            return
        self._answer(206, content[int(wanted[1]) : int(wanted[2]) + 1])

    def _answer(self, status: int, content: bytes = b"", error: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", "c0ffee")
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        for start in range(0, len(content), 4096):
            try:
                self.server.sent += self.wfile.write(content[start : start + 4096])
            except OSError:  # who asked has gone
                return

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.silent.set()
        server.shutdown()


class Forecasts:
    def __init__(self, cli: Cli, hub: Hub, tmp_path: Path) -> None:
        self._cli, self._hub, self._path = cli, hub, tmp_path / "run.yaml"
        self._path.write_text("name: run\n")
        self._home = str(tmp_path / "hf")

    def __call__(self, name: str, *more: str, **environment: str) -> Any:
        told = {"HF_ENDPOINT": self._hub.address, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        told |= {"HF_HOME": self._home, "HF_TOKEN": TOKEN, **environment}
        base = f"model.base={name}"
        ended = self._cli("config", "forecast", self._path, "--set", base, *more, **told)
        assert TOKEN not in ended.stdout + ended.stderr and "Traceback" not in ended.stderr
        return ended


@pytest.fixture
def forecast(cli: Cli, hub: Hub, tmp_path: Path) -> Forecasts:
    return Forecasts(cli, hub, tmp_path)


@pytest.mark.parametrize("name", ["org/single", "org/sharded"])
def test_two_small_files_are_enough_and_are_asked_for_once(
    forecast: Forecasts, hub: Hub, workspace: Workspace, name: str
) -> None:
    first = forecast(name, "--json")
    assert first.returncode == 0, first.stderr
    assert f"Reading what {name} is from the hub" in first.stderr
    body = json.loads(first.stdout)
    shapes = {**ENDS, **layer(0), **layer(1)}
    expected = BaseFacts.from_shapes(CONFIG, shapes.items(), "x")
    assert body["parameters"] == expected.parameters
    assert body["effective"]["trained_parameters"] > 0 and body["time"]["step"]["low"] > 0
    assert any("its tokenizer is not known" in sentence for sentence in body["unknown"])
    # No weight was asked for, and nothing but what is needed.
    ranges = [wanted for file, wanted, _ in hub.asked if file.endswith(".safetensors")]
    assert all(ranges) and hub.sent < 20_000
    assert {file for file, _, _ in hub.asked} <= {*SHARDED, "model.safetensors"}
    kept = json.loads(
        (workspace.cache / "bases" / name.replace("/", "--") / "headers.json").read_text()
    )
    assert kept["commit"] == "c0ffee"

    asked = len(hub.asked)
    again = forecast(name, "--json", HF_HUB_OFFLINE="1")
    assert json.loads(again.stdout)["total"] == body["total"]
    assert len(hub.asked) == asked and "from the hub" not in again.stderr


def test_a_server_without_ranges_sends_hardly_more_than_headers(
    forecast: Forecasts, hub: Hub
) -> None:
    hub.ranges = False
    hub.models["org/large"] = {**SINGLE, "model.safetensors": SINGLE["model.safetensors"] * 40}
    assert forecast("org/large", "--json").returncode == 0
    assert hub.sent < 20 * WEIGHTS


def test_the_token_goes_to_the_hub_alone(forecast: Forecasts, hub: Hub) -> None:
    with Hub() as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        # Another host by its name: the storage that the hub sends on to.
        hub.sends_on_to = f"http://localhost:{other.server_port}"
        ended = forecast("org/single", "--json", NO_PROXY="127.0.0.1,localhost")
        other.shutdown()
    assert ended.returncode == 0, ended.stderr
    assert {secret for _, _, secret in hub.asked} == {f"Bearer {TOKEN}"}
    assert other.asked and {secret for _, _, secret in other.asked} == {""}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("org/nowhere", "The hub has no model org/nowhere, or none that you may see."),
        ("org/gated", "The hub doesn't let you read org/gated (HTTP 403)."),
        ("org/pickled", "has no weights in safetensors"),
        ("org/broken", "model.safetensors of org/broken on the hub has no header of safetensors"),
    ],
)
def test_what_the_hub_has_not_is_told_in_words(
    forecast: Forecasts, hub: Hub, workspace: Workspace, name: str, said: str
) -> None:
    ended = forecast(name)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert not (workspace.cache / "bases").exists()
    assert "pytorch_model.bin" not in {file for file, _, _ in hub.asked}


def test_a_silent_hub_is_not_waited_for_long(forecast: Forecasts, hub: Hub) -> None:
    ended = forecast("org/silent")
    assert ended.returncode == 2
    assert "org/silent can't be read from the hub" in ended.stderr
    assert [file for file, _, _ in hub.asked] == ["config.json"]


def test_no_network_and_no_wish_for_one_are_told(forecast: Forecasts, hub: Hub) -> None:
    for how in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:1"}):
        ended = forecast("org/single", **how)
        assert ended.returncode == 2
        said = "The base model org/single is not on this machine and the hub is out of reach."
        assert said in ended.stderr and "name the folder" in ended.stderr
    ended = forecast("org/single", "--offline")
    assert ended.returncode == 2 and "not on this machine" in ended.stderr
    assert hub.asked == []
