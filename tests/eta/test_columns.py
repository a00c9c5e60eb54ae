"""Columns of text know which texts there are, and are arrays all the same."""

import numpy as np
import polars as pl
import pytest

from foodex.core.errors import InvalidInput
from foodex.eta import columns as columns_module
from foodex.eta import columns_of_frame, columns_of_orders
from foodex.eta.columns import Texts, cut, distinct, look_up

NAMES = ["b", None, "a", "b", None, "c", "a"] * 10


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> Texts:
    monkeypatch.setattr(columns_module, "_FEWEST_CODED", 0)
    monkeypatch.setattr(columns_module, "_SAMPLE", 8)
    found = columns_of_frame(pl.DataFrame({"store_id": NAMES}))["store_id"]
    assert isinstance(found, Texts)
    return found


def test_texts_read_as_plain_columns_do(texts: Texts):
    assert texts.dtype == object
    assert texts.tolist() == NAMES
    assert texts[texts == "b"].tolist() == ["b"] * 20
    assert [name for name in distinct(texts) if name is not None] == ["b", "a", "c"]
    plain = np.array(NAMES, dtype=object)
    table = {"a": 1.0, "c": 3.0, None: -2.0}
    for some in (slice(0, 70), slice(3, 5), slice(69, 70), slice(0, 0)):
        part = cut({"store_id": texts}, some)["store_id"]
        assert part.tolist() == NAMES[some]
        assert look_up(part, table, 0.5).tolist() == look_up(plain[some], table, 0.5).tolist()


def test_what_an_index_takes_has_no_stale_codes(texts: Texts):
    backwards = texts[::-1]
    assert look_up(backwards, {"a": 1.0}, 0.0).tolist() == [float(n == "a") for n in NAMES[::-1]]
    assert distinct(texts[:1]) == ["b"]


def test_texts_that_hardly_repeat_stay_plain(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(columns_module, "_FEWEST_CODED", 0)
    frame = pl.DataFrame({"order_id": [f"o{number}" for number in range(30_000)]})
    found = columns_of_frame(frame)["order_id"]
    assert not isinstance(found, Texts)
    assert found[29_999] == "o29999"


def test_every_column_of_the_wrong_kind_is_told_of():
    frame = pl.DataFrame({"items": ["many"], "placed_at": [3.5], "subtotal_minor": [100]})
    with pytest.raises(InvalidInput) as caught:
        columns_of_frame(frame)
    assert [problem.field for problem in caught.value.problems] == ["items", "placed_at"]


@pytest.mark.parametrize("value", [[], [1.0, 2.0], [1.0], "3", {}], ids=str)
def test_what_is_no_one_number_is_no_number(value: object):
    with pytest.raises(InvalidInput) as caught:
        columns_of_orders([{"items": value}])
    assert [(problem.field, problem.row) for problem in caught.value.problems] == [("items", 0)]
