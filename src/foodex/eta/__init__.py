"""The science of delivery time: pure, without input or output, at home in a notebook.

model = train(orders, TrainingOptions(time_zone="Europe/Helsinki"))
state = model.state_of(orders)
model.forecast({"distance_km": 2.1}, state, now=datetime.now(UTC))
"""

from foodex.eta.columns import Columns, columns_of_frame, columns_of_orders
from foodex.eta.model import Encoded, Model
from foodex.eta.state import LiveState
from foodex.eta.summary import ModelSummary
from foodex.eta.training import TrainingOptions, train

__all__ = [
    "Columns",
    "Encoded",
    "LiveState",
    "Model",
    "ModelSummary",
    "TrainingOptions",
    "columns_of_frame",
    "columns_of_orders",
    "train",
]
