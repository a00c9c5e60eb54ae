"""The simulated city: a food-delivery business that never was, on Helsinki's real streets.

For a machine with no history of its own. Pure: no web, no database, no clock; everything follows
from a seed. Whatever it makes says that it is simulated, in `city` and in every id.

    from foodex.city import simulate_history
    frame = simulate_history(seed=7, start=datetime(2026, 8, 3, tzinfo=UTC), days=28)

The streets are © OpenStreetMap contributors, ODbL 1.0: show `Streets.attribution` with them.
"""

from foodex.city.engine import CITY_ZONE
from foodex.city.export import EXPORT_TIME_FORMAT, EXPORT_ZONE, MISSING, export_as_company_csv
from foodex.city.history import simulate_history
from foodex.city.live import City, Happening, Position
from foodex.city.plan import Store
from foodex.city.records import CITY_NAME
from foodex.city.state import Stage
from foodex.city.streets import Streets, Vehicle, load_streets
from foodex.city.weather import Sky, Weather

__all__ = [
    "CITY_NAME",
    "CITY_ZONE",
    "EXPORT_TIME_FORMAT",
    "EXPORT_ZONE",
    "MISSING",
    "City",
    "Happening",
    "Position",
    "Sky",
    "Stage",
    "Store",
    "Streets",
    "Vehicle",
    "Weather",
    "export_as_company_csv",
    "load_streets",
    "simulate_history",
]
