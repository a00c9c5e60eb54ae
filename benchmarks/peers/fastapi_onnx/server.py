"""FastAPI with a Pydantic model of the row, and ONNX Runtime in the same process."""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel, create_model

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["PEER_ONNX"], options)
names = [f"f{number}" for number in range(int(os.environ["PEER_FEATURES"]))]
Row: type[BaseModel] = create_model("Row", **dict.fromkeys(names, (float, ...)))
app = FastAPI()


class Answer(BaseModel):
    minutes: float


@app.post("/predict")
async def predict(row: Row) -> Answer:
    rows = np.array([[getattr(row, name) for name in names]])
    return Answer(minutes=session.run(None, {"rows": rows})[0][0, 0])
