"""What a column's name says of the field it holds: words of several conventions and trades."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

_WORDS: Final[Mapping[str, str]] = {
    "order": "order orders ordered orderd purchase booking transaction delivery_order",
    "id": "id ids uuid guid key code ref reference number no nr identifier",
    "name": "name title label",
    "store": "store restaurant venue merchant shop vendor kitchen outlet branch resto eatery "
    "seller cafe pickup origin source sender provider rest start from",
    "customer": "customer user client consumer dropoff destination dest recipient buyer drop cust "
    "eater guest end to receiver",
    "courier": "courier couriers rider riders driver drivers dasher dashers deliverer agent agents "
    "runner runners biker bikers deliveryman fleet worker workers",
    "person": "person partner partners guy boy man executive",
    "city": "city town market municipality metro region area zone",
    "time": "time timestamp datetime ts at moment clock dt tm utc local date_time",
    "date": "date day_date",
    "created": "created placed submitted requested request made received_order opened creation",
    "accepted": "accepted accept confirmed confirmation acknowledged approved",
    "ready": "ready prepared cooked",
    "picked": "picked pickedup collected collection departed dispatched dispatch",
    "delivered": "delivered completed arrived arrival finished ended dropped received fulfilled "
    "completion handed",
    "delivery": "delivery deliver deliveries",
    "duration": "duration took taken elapsed lasted length lead tat turnaround",
    "minutes": "minutes minute min mins",
    "seconds": "seconds second sec secs",
    "hours": "hours hrs hr",
    "actual": "actual real true observed measured final",
    "estimated": "estimated estimate estimation eta promised promise quoted quote expected "
    "predicted prediction planned target sla forecast projected scheduled",
    "travel": "travel driving drive route routing ride riding transit trip commute road",
    "hour": "hour hod",
    "weekday": "weekday dow weekdays",
    "day": "day",
    "week": "week",
    "lat": "lat latitude lattitude latitud breitengrad",
    "lon": "lon lng long longitude longitud",
    "location": "location loc position coordinate coordinates coord geo gps address point",
    "distance": "distance dist haversine mileage",
    "km": "km kms kilometers kilometres kilometer kilometre",
    "miles": "mi mile miles",
    "meters": "meters metres meter metre",
    "item": "item items products product dishes dish articles basket_items",
    "count": "count counts quantity qty total sum num size n cnt",
    "distinct": "distinct unique different",
    "price": "price subtotal value amount cost bill revenue gmv spend basket_value charge "
    "eur euro euros usd dollars gbp chf sek nok dkk pln inr",
    "subtotal": "subtotal",
    "basket": "basket cart",
    "currency": "currency",
    "category": "category cuisine categories cuisines",
    "type": "type kind class mode channel protocol method",
    "vehicle": "vehicle transport transportation bike vehicles",
    "batched": "batched batch stacked stack multiple bundled bundle multi grouped pooled",
    "weather": "weather wx meteo sky conditions condition",
    "temperature": "temperature temp temperatur",
    "rain": "precipitation precip rain rainfall snow snowfall rain_mm",
    "wind": "wind windspeed gust",
    "speed": "speed velocity",
    "cloud": "cloud clouds cloudiness cloudcover",
    "cover": "cover coverage",
    "traffic": "traffic congestion jam",
    "ratio": "ratio index factor share",
    "level": "level density intensity severity",
    "onshift": "onshift shift duty available online working total_couriers",
    "busy": "busy occupied engaged assigned",
    "open": "open outstanding pending active ongoing unfinished queue queued backlog concurrent",
    "after": "rating ratings review feedback stars complaint refund cancelled canceled status late "
    "lateness delay delayed tardy overdue ontime early score tip",
    "difference": "difference diff error deviation residual delta variance gap minus",
    "fee": "fee tax vat discount tip commission surcharge coupon voucher",
    "extreme": "max min_price maximum minimum cheapest avg average mean",
    "prep": "prep preparation cooking cook kitchen_time waiting wait",
    "age": "age",
    "split": "split fold partition subset sample_set",
    "index": "unnamed index rownum rowid row",
}
_CONCEPT: Final = {
    word: concept for concept, words in _WORDS.items() for word in words.split() if "_" not in word
}
_FILLERS: Final = frozenset(("of", "the", "in", "is", "a", "an", "for", "by", "per", "was", "and"))

# A field's patterns: concepts that must all be there (`a|b`: one of them) and how sure that makes;
# then the concepts that must not be there.
_PATTERNS: Final[Mapping[str, tuple[tuple[tuple[str, float], ...], str]]] = {
    "order_id": (
        (("order id", 0.97), ("id", 0.75), ("delivery id", 0.85)),
        "courier person store customer item city category type vehicle",
    ),
    "store_id": (
        (("store id", 0.95), ("store name", 0.75), ("store", 0.65)),
        "lat lon category "
        "type customer location time city count open distance item price prep courier "
        "travel duration delivery minutes seconds picked",
    ),
    "courier_id": (
        (
            ("courier id", 0.95),
            ("delivery person id", 0.95),
            ("courier name", 0.7),
            ("courier", 0.6),
            ("delivery person name", 0.7),
        ),
        "lat lon age after count type vehicle onshift busy open time",
    ),
    "city": ((("city", 0.9), ("city id", 0.9), ("city name", 0.9), ("store city", 0.8)), "lat lon"),
    "placed_at": (
        (
            ("order time", 0.9),
            ("order created", 0.95),
            ("created time", 0.95),
            ("created", 0.85),
            ("order date time", 0.95),
            ("time", 0.7),
            ("date time", 0.75),
            ("order date", 0.8),
            ("date", 0.65),
            ("customer created", 0.8),
        ),
        "delivered picked accepted ready estimated delivery actual duration hour travel "
        "prep courier minutes seconds after",
    ),
    "accepted_at": (
        (("accepted", 0.85), ("accepted time", 0.95), ("order accepted", 0.95)),
        "delivered picked ready estimated",
    ),
    "ready_at": ((("ready", 0.8), ("ready time", 0.95), ("order ready", 0.95)), "delivered picked"),
    "picked_up_at": (
        (
            ("picked", 0.85),
            ("picked time", 0.95),
            ("order picked", 0.9),
            ("store time", 0.5),
            ("store date time", 0.5),
        ),
        "delivered estimated lat lon",
    ),
    "delivered_at": (
        (
            ("delivered", 0.85),
            ("delivered time", 0.95),
            ("order delivered", 0.95),
            ("actual delivery time", 0.95),
            ("delivery time", 0.8),
            ("delivery date time", 0.85),
            ("customer time", 0.5),
        ),
        "estimated picked accepted ready duration difference",
    ),
    "hour_of_day": (
        (("hour", 0.9), ("order hour", 0.95), ("hour day", 0.95), ("time hour", 0.85)),
        "delivered delivery picked duration estimated week",
    ),
    "day_of_week": (
        (
            ("weekday", 0.95),
            ("day week", 0.95),
            ("day", 0.8),
            ("order day", 0.85),
            ("day name", 0.85),
            ("order weekday", 0.95),
        ),
        "delivered delivery picked hour",
    ),
    "store_lat": ((("store lat", 0.97), ("store location lat", 0.97)), "lon customer courier"),
    "store_lon": ((("store lon", 0.97), ("store location lon", 0.97)), "lat customer courier"),
    "customer_lat": (
        (
            ("customer lat", 0.97),
            ("delivery location lat", 0.95),
            ("delivery lat", 0.9),
            ("lat", 0.5),
        ),
        "lon store courier person",
    ),
    "customer_lon": (
        (
            ("customer lon", 0.97),
            ("delivery location lon", 0.95),
            ("delivery lon", 0.9),
            ("lon", 0.5),
        ),
        "lat store courier person",
    ),
    "distance_km": (
        (
            ("distance", 0.95),
            ("distance km|miles|meters", 0.97),
            ("km|miles", 0.75),
            ("delivery distance", 0.95),
        ),
        "price fee duration time hours",
    ),
    "travel_minutes_estimate": (
        (
            ("travel duration", 0.85),
            ("estimated travel duration", 0.97),
            ("estimated travel", 0.9),
            ("travel minutes|seconds", 0.85),
            ("travel time", 0.85),
        ),
        "actual distance type",
    ),
    "items": (
        (
            ("item count", 0.95),
            ("item", 0.7),
            ("order item", 0.75),
            ("basket count", 0.85),
            ("order count", 0.4),
            ("id item", 0.7),
            ("count", 0.6),
        ),
        "distinct price extreme fee open courier onshift busy delivery name courier distance",
    ),
    "distinct_items": ((("distinct item", 0.97), ("distinct item count", 0.97)), "price"),
    "subtotal_minor": (
        (
            ("subtotal", 0.95),
            ("order price", 0.85),
            ("basket price", 0.9),
            ("price", 0.65),
            ("count price", 0.75),
            ("order count", 0.3),
        ),
        "fee extreme delivery item estimated distance count_of",
    ),
    "currency": ((("currency", 0.95),), "price"),
    "store_category": (
        (("store category", 0.95), ("category", 0.75), ("store type", 0.85)),
        "order vehicle id weather",
    ),
    "order_type": ((("order type", 0.95), ("order category", 0.85)), "vehicle courier"),
    "vehicle": (
        (
            ("vehicle type", 0.97),
            ("vehicle", 0.85),
            ("courier type", 0.6),
            ("courier vehicle", 0.95),
        ),
        "weather age",
    ),
    "batched_orders": (
        (("batched delivery", 0.95), ("batched order", 0.95), ("batched", 0.75)),
        "",
    ),
    "temperature_c": ((("temperature", 0.95), ("weather temperature", 0.95)), "store order"),
    "precipitation_mm": ((("rain", 0.95), ("weather rain", 0.95)), ""),
    "wind_mps": ((("wind speed", 0.97), ("wind", 0.9)), ""),
    "cloud_cover": ((("cloud cover", 0.97), ("cloud", 0.9)), ""),
    "weather_condition": (
        (("weather", 0.95), ("weather type|category", 0.95)),
        "temperature rain wind cloud vehicle store",
    ),
    "traffic_ratio": ((("traffic ratio", 0.95), ("traffic level", 0.8), ("traffic", 0.75)), ""),
    "traffic_level": (
        (
            ("traffic level", 0.95),
            ("traffic", 0.9),
            ("travel traffic level", 0.95),
            ("traffic type|category", 0.9),
        ),
        "ratio",
    ),
    "couriers_on_shift": (
        (("courier onshift", 0.95), ("person onshift", 0.9), ("courier count", 0.85)),
        "busy id open",
    ),
    "couriers_busy": ((("courier busy", 0.95), ("person busy", 0.9)), "id"),
    "orders_open": ((("order open", 0.95), ("open order count", 0.95)), "courier id"),
    "delivery_minutes": (
        (
            ("actual delivery minutes|seconds|hours|duration", 0.97),
            ("delivery duration", 0.93),
            ("time duration", 0.93),
            ("delivery minutes|seconds|hours", 0.93),
            ("time delivery", 0.85),
            ("duration", 0.75),
            ("actual duration", 0.85),
            ("delivery time duration", 0.95),
            ("order duration", 0.8),
            ("duration minutes|seconds|hours", 0.85),
            ("delivery count time", 0.85),
            ("minutes", 0.5),
            ("actual minutes", 0.8),
            ("actual time", 0.7),
            ("delivered minutes", 0.85),
            ("order delivered minutes", 0.85),
        ),
        "estimated difference travel prep picked after accepted ready distance",
    ),
    "own_estimate_minutes": (
        (
            ("estimated delivery", 0.9),
            ("estimated delivery time", 0.95),
            ("estimated delivery minutes|seconds|duration", 0.97),
            ("estimated minutes|seconds|duration", 0.85),
            ("estimated", 0.75),
            ("estimated time", 0.85),
        ),
        "difference travel prep actual distance picked order_place store created",
    ),
}


def words_of(name: str) -> list[str]:
    """A column's name as words in small letters: `orderDate`, `ORDER_DATE` -> order, date."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    spaced = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", spaced)
    spaced = re.sub(r"([A-Za-z])(\d)", r"\1 \2", spaced)
    return re.findall(r"[^\W_]+", spaced.lower())


def concepts_of(name: str) -> list[str]:
    """A column's name as concepts; a word that is none stands for itself."""
    found = []
    for word in words_of(name):
        if word in _FILLERS:
            continue
        concept = _CONCEPT.get(word)
        if concept is None and len(word) >= 5:
            near = get_close_matches(word, _CONCEPT, n=1, cutoff=0.86)
            concept = _CONCEPT[near[0]] if near else None
        if concept is None:
            found += _two_in_one(word)
            continue
        found.append(concept)
    # "min" is a unit at a name's end, and an extreme before a price.
    if "minutes" in found and "price" in found:
        found[found.index("minutes")] = "extreme"
    return found


def _two_in_one(word: str) -> list[str]:
    """`weatherconditions` as two concepts, if it is two words; else the word itself."""
    for cut in range(4, len(word) - 3):
        first, second = _CONCEPT.get(word[:cut]), _CONCEPT.get(word[cut:])
        if first and second:
            return [first, second]
    return [word]


def by_name(name: str) -> dict[str, float]:
    """How well a name fits each field, from 0 to 1; only those it fits at all."""
    concepts = concepts_of(name)
    there = set(concepts)
    found: dict[str, float] = {}
    for field, (patterns, without) in _PATTERNS.items():
        if there & set(without.split()):
            continue
        best = 0.0
        for pattern, sure in patterns:
            needs = [set(group.split("|")) & there for group in pattern.split()]
            if not all(needs):
                continue
            told = len({concept for group in needs for concept in group})
            best = max(best, sure * (0.55 + 0.45 * min(1.0, told / max(len(there), 1))))
        if best:
            found[field] = round(best, 3)
    return found


def speaks_of(name: str, *concepts: str) -> bool:
    """Whether the name holds one of these concepts."""
    return bool(set(concepts) & set(concepts_of(name)))
