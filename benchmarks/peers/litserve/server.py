"""LitServe as its documentation shows it: one worker."""

import os

import lightgbm
import litserve
import numpy as np


class Eta(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.booster = lightgbm.Booster(model_file=os.environ["PEER_MODEL"])

    def decode_request(self, request: dict) -> list:
        return request["row"]

    def predict(self, row: list) -> float:
        return float(self.booster.predict(np.asarray([row]), num_threads=1)[0])

    def encode_response(self, output: float) -> dict:
        return {"minutes": output}


if __name__ == "__main__":
    server = litserve.LitServer(Eta(), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="error",
        access_log=False,
    )
