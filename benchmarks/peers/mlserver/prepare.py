"""Write MLServer's settings: its lightgbm runtime in the server's own process.

A pool of workers beside it, which is usual, only adds a hop when there is one core.
"""

import json
import os
import shutil
from pathlib import Path

folder, port = Path(os.environ["PEER_FOLDER"]), int(os.environ["PEER_PORT"])
shutil.copy(os.environ["PEER_MODEL"], folder / "model.bst")
settings = {
    "debug": False,
    "host": "127.0.0.1",
    "http_port": port,
    "grpc_port": port + 1,
    "metrics_port": port + 2,
    "parallel_workers": 0,
    "logging_settings": None,
}
model = {
    "name": "eta",
    "implementation": "mlserver_lightgbm.LightGBMModel",
    "parameters": {"uri": "./model.bst", "version": "v1"},
}
(folder / "settings.json").write_text(json.dumps(settings))
(folder / "model-settings.json").write_text(json.dumps(model))
