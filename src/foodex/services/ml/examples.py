"""Examples for the description of the API; all of them can be sent as they stand."""

from typing import Any, Final

ORDER: Final[dict[str, Any]] = {
    "order_id": "A-1001",
    "store_id": "store-17",
    "city": "Helsinki",
    "placed_at": "2026-03-06T18:42:00+02:00",
    "store_lat": 60.1699,
    "store_lon": 24.9384,
    "customer_lat": 60.1841,
    "customer_lon": 24.9496,
    "items": 3,
    "subtotal_minor": 3450,
    "currency": "EUR",
}
DELIVERY: Final[dict[str, Any]] = {
    **ORDER,
    "courier_id": "courier-4",
    "picked_up_at": "2026-03-06T19:01:00+02:00",
    "delivered_at": "2026-03-06T19:14:30+02:00",
}
TRAINING: Final[dict[str, Any]] = {
    "dataset": "orders",
    "model": "eta",
    "algorithm": "gradient_boosting",
    "until": "2026-03-01T00:00:00Z",
    "without": ["own_estimate_minutes"],
    "promote": True,
}
EVALUATION: Final[dict[str, Any]] = {
    "model": "eta",
    "dataset": "orders",
    "since": "2026-03-01T00:00:00Z",
}
