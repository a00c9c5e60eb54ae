"""Save the model as MLflow keeps it."""

import os
from pathlib import Path

import lightgbm
import mlflow.lightgbm

target = Path(os.environ["PEER_FOLDER"]) / "model"
booster = lightgbm.Booster(model_file=os.environ["PEER_MODEL"])
if not target.exists():
    mlflow.lightgbm.save_model(booster, str(target))
