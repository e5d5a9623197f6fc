"""The pages on the Python API and on `listen`: every example runs, and the pages match the code."""

import contextlib
import io
import json
import re
import shutil
import socket
import socketserver
import struct
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.api import EmotionStream, analyze
from analyzer.commands.options import command_line
from analyzer.store.outputs import TIMELINE_COLUMNS
from tests.helpers import voices

ROOT = Path(__file__).parent.parent
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
LISTEN = (ROOT / "docs" / "listen.md").read_text(encoding="utf-8")


def examples(language: str, page: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str]]:
    """Run the examples in order, in a folder with a call; returns the names they define and what each prints."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(ROOT / "examples" / "calls" / "delivery_2026-11-23T09-15-00.wav", folder / "call.wav")
    (folder / "letter.txt").write_text("Dear colleague,\n" * 20)
    names: dict[str, Any] = {"__name__": "example"}
    printed = []
    with contextlib.chdir(folder):
        for example in examples("python", API):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(example, "docs/api.md", "exec"), names)
            printed.append(out.getvalue())
    return names, printed


def test_every_example_runs(page: tuple[dict[str, Any], list[str]]) -> None:
    _, printed = page
    assert len(printed) >= 6
    assert [bool(text) for text in printed] == ["print(" in e and "class " not in e for e in examples("python", API)]


def test_examples_print_results(page: tuple[dict[str, Any], list[str]]) -> None:
    names, printed = page
    output = "\n".join(printed)
    assert "call.wav 67." in output
    assert "not analysed: unsupported or damaged audio" in output
    assert names["by_agent"]
    rows = [line.split() for line in printed[5].splitlines()]
    assert {row[0] for row in rows} == {"agent", "customer"}
    assert len(rows) + len(names["last"]) == pytest.approx(len(names["timeline"].rows), abs=3)


def test_timeline_table_names_attributes(page: tuple[dict[str, Any], list[str]]) -> None:
    names, _ = page
    table = API.split("| of a `Timeline` | |")[1].split("\n\n")[0]
    documented = [
        name for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)", cell)
    ]
    assert {"recording", "speakers", "rows", "other", "envelope", "about", "speaker", "to_frame"} <= set(documented)
    assert all(hasattr(names["timeline"], name) for name in documented)


def message(kind: int, content: bytes = b"") -> bytes:
    return struct.pack(">BH", kind, len(content)) + content


def test_audiosocket_server_prints_rows(
    page: tuple[dict[str, Any], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    names, _ = page
    sound = np.rint(voices.call(4, [(0.5, 2), (2.6, 3.9)]) * 32767).astype("<i2")
    call = uuid.uuid4()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), names["Call"]) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        with socket.create_connection(server.server_address) as asterisk:
            asterisk.sendall(message(0x01, call.bytes))
            for start in range(0, len(sound), 160):
                asterisk.sendall(message(0x10, sound[start : start + 160].tobytes()))
            asterisk.sendall(message(0x03, b"5") + message(0x00))
            assert asterisk.recv(1) == b""
        server.shutdown()
        serving.join()
    stream = EmotionStream(8000)
    expected = stream.push(sound) + stream.finish()
    assert expected
    assert capsys.readouterr().out.splitlines() == [f"{call} {row.start} {row.end} {row.emotion}" for row in expected]


def test_parameters_are_documented() -> None:
    documented = set(re.findall(r"`(\w+)`", API.split("| parameter | |")[1].split("\n\n")[0]))
    assert set(EmotionStream.__init__.__annotations__) - {"return"} <= documented
    assert set(analyze.__annotations__) - {"path", "return"} <= documented


def test_listen_page_shows_a_line() -> None:
    (line,) = examples("json", LISTEN)
    assert tuple(json.loads(line)) == TIMELINE_COLUMNS


def test_listen_page_documents_every_option() -> None:
    parser, _ = command_line()
    (choices,) = (action.choices for action in parser._actions if action.dest == "command")
    options = {
        option for action in choices["listen"]._actions for option in action.option_strings if option[:2] == "--"
    }
    documented = set(re.findall(r"--[a-z]+", LISTEN.split("| option | |")[1].split("\n\n")[0]))
    assert documented == options - {"--help"}
    examples_used = re.findall(r"call-emotions listen ([^|<`\n]*)", LISTEN)
    assert examples_used
    assert {option for line in examples_used for option in re.findall(r"--[a-z-]+", line)} <= options


@pytest.mark.parametrize("text", [API, LISTEN], ids=["api", "listen"])
def test_linked_files_exist(text: str) -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)", text)
    assert linked
    assert all((ROOT / "docs" / name).exists() for name in linked)
