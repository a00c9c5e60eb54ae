"""BentoML as its documentation shows it: one service, one worker."""

import os

import bentoml
import lightgbm
import numpy as np


@bentoml.service(workers=1)
class Eta:
    def __init__(self) -> None:
        self.booster = lightgbm.Booster(model_file=os.environ["PEER_MODEL"])

    @bentoml.api
    def predict(self, rows: list[list[float]]) -> list[float]:
        answer = self.booster.predict(np.asarray(rows), num_threads=1)
        return answer.tolist()
