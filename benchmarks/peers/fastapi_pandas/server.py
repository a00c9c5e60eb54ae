"""The service that is often written first: FastAPI, a pandas row, LightGBM."""

import os
from typing import Any

import lightgbm
import pandas as pd
from fastapi import FastAPI

app = FastAPI()
booster = lightgbm.Booster(model_file=os.environ["PEER_MODEL"])


@app.post("/predict")
async def predict(row: dict[str, Any]) -> dict[str, float]:
    frame = pd.DataFrame([row])
    return {"minutes": float(booster.predict(frame, num_threads=1)[0])}
