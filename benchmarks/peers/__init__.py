"""Other ways to serve the same model, each in an environment of its own with pinned versions."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.pinned import Request

HERE: Final = Path(__file__).parent
CACHE: Final = Path(
    os.environ.get("FOODEX_BENCHMARKS_CACHE", "~/.cache/foodex-benchmarks")
).expanduser()

Row = Sequence[float]
_JSON: Final[Mapping[str, str]] = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Peer:
    """How one peer is started and spoken to; `folder` holds its script and its requirements."""

    name: str
    folder: str
    command: Callable[[str, int, Path], Sequence[str]]
    path: str
    body: Callable[[Row], Any]
    minutes: Callable[[Any], float]
    serves_models: bool = True

    def request(self, row: Row) -> Request:
        """The request that asks for one row."""
        return Request(self.path, json.dumps(self.body(row)), {})

    def python(self) -> Path:
        """The Python of its environment, made and filled at the first use."""
        wanted = (HERE / self.folder / "requirements.txt").read_text()
        environment = CACHE / self.folder
        mark = environment / "installed.txt"
        if not mark.exists() or mark.read_text() != wanted:
            print(f"  installing {self.name} into {environment}")
            python = environment / "bin" / "python"
            listed = str(HERE / self.folder / "requirements.txt")
            for command in (
                ("uv", "venv", "-q", "--clear", "--python", "3.11", str(environment)),
                ("uv", "pip", "install", "-q", "--python", str(python), "-r", listed),
            ):
                subprocess.run(command, check=True, env=_with_uv())
            mark.write_text(wanted)
        return environment / "bin" / "python"

    def environment(self, model: Path, onnx: Path, features: int, port: int) -> dict[str, str]:
        """The variables its script reads."""
        folder = model.parent / self.folder
        folder.mkdir(exist_ok=True)
        return {
            "PEER_MODEL": str(model),
            "PEER_ONNX": str(onnx),
            "PEER_FEATURES": str(features),
            "PEER_PORT": str(port),
            "PEER_FOLDER": str(folder),
            "PATH": f"{self.python().parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(HERE / self.folder),
            "BENTOML_DO_NOT_TRACK": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
        }

    def prepare(self, environment: Mapping[str, str]) -> None:
        """Run what is to be done before a start, if there is anything."""
        script = HERE / self.folder / "prepare.py"
        if script.exists():
            command = (str(self.python()), str(script))
            subprocess.run(
                command, check=True, env={**os.environ, **environment}, capture_output=True
            )


def _with_uv() -> dict[str, str]:
    import sys

    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def _bin(python: str, name: str) -> str:
    return str(Path(python).parent / name)


def _uvicorn(python: str, port: int, _: Path) -> Sequence[str]:
    common = ("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning")
    return (python, "-m", "uvicorn", "server:app", *common, "--no-access-log")


def _granian(app: str) -> Callable[[str, int, Path], Sequence[str]]:
    def command(python: str, port: int, _: Path) -> Sequence[str]:
        options = "--interface asginl --host 127.0.0.1 --workers 1 --loop uvloop --no-ws"
        return (_bin(python, "granian"), *options.split(), "--port", str(port), f"server:{app}")

    return command


def _named(row: Row) -> dict[str, float]:
    return {f"f{number}": value for number, value in enumerate(row)}


def _minutes(answer: Any) -> float:
    return float(answer["minutes"])


PEERS: Final = (
    Peer(
        "BentoML",
        "bentoml",
        lambda python, port, _: (
            *(_bin(python, "bentoml"), "serve", "server:Eta"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ),
        "/predict",
        lambda row: {"rows": [list(row)]},
        lambda answer: float(answer[0]),
    ),
    Peer(
        "MLServer",
        "mlserver",
        lambda python, _, folder: (_bin(python, "mlserver"), "start", str(folder)),
        "/v2/models/eta/infer",
        lambda row: {
            "inputs": [
                {"name": "rows", "shape": [1, len(row)], "datatype": "FP64", "data": list(row)}
            ]
        },
        lambda answer: float(answer["outputs"][0]["data"][0]),
    ),
    Peer(
        "MLflow",
        "mlflow",
        lambda python, port, folder: (
            *(_bin(python, "mlflow"), "models", "serve", "-m", str(folder / "model")),
            *("--env-manager", "local", "-h", "127.0.0.1", "-p", str(port), "-w", "1"),
        ),
        "/invocations",
        lambda row: {"inputs": [list(row)]},
        lambda answer: float(answer["predictions"][0]),
    ),
    Peer(
        "LitServe",
        "litserve",
        lambda python, port, folder: (python, str(HERE / "litserve" / "server.py")),
        "/predict",
        lambda row: {"row": list(row)},
        _minutes,
    ),
    Peer("FastAPI + pandas row", "fastapi_pandas", _uvicorn, "/predict", _named, _minutes, False),
    Peer(
        "FastAPI + Pydantic + ONNX Runtime",
        "fastapi_onnx",
        _uvicorn,
        "/predict",
        _named,
        _minutes,
        False,
    ),
    Peer(
        "raw granian, one model call a request",
        "raw",
        _granian("single"),
        "/",
        lambda row: {"row": list(row)},
        _minutes,
        False,
    ),
    Peer(
        "raw granian, waiting requests share a model call",
        "raw",
        _granian("shared"),
        "/",
        lambda row: {"row": list(row)},
        _minutes,
        False,
    ),
)
