"""The order that a new user is shown first."""

import json
from datetime import UTC, datetime, timedelta

from foodex.city import simulate_history
from foodex.cli.demonstration import ORDER
from foodex.core.settings import CitySettings
from foodex.eta.model import MISSING_SHARE
from foodex.eta.training import TrainingOptions, train


def test_the_demonstrations_model_knows_enough_of_the_order_it_is_shown_with() -> None:
    city, until = CitySettings(), datetime(2026, 11, 22, tzinfo=UTC)
    frame = simulate_history(
        seed=city.seed,
        start=until - timedelta(days=city.days),
        days=city.days,
        orders_per_day=city.orders_per_day,
    )
    model = train(frame, TrainingOptions(time_zone="Europe/Helsinki", without=("vehicle",)))
    order = json.loads(ORDER)
    store = frame.filter(frame["store_id"] == order["store_id"])
    assert store["store_category"].unique().to_list() == [order["store_category"]]
    missing = tuple(set(model.parts.usual) - set(order) - {"placed_at"})
    # Within by more than days differ (0.04): no day's chance may leave the first answer to a lower
    # step of the ladder.
    assert model.missing_share(missing) < 0.9 * MISSING_SHARE
