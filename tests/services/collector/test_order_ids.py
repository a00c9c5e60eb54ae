"""Orders that were seen before."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from foodex.services.collector.order_ids import SeenOrders

ids = st.lists(st.one_of(st.none(), st.integers(0, 40).map(str)), max_size=30)


@given(st.lists(ids, max_size=12))
def test_it_knows_what_a_set_knows(batches: list[list[str | None]]) -> None:
    seen, known = SeenOrders(), set[str]()
    for batch in batches:
        wanted = []
        for name in batch:
            wanted.append(name is not None and name in known)
            if name is not None:
                known.add(name)
        assert seen.add(pl.Series(batch, dtype=pl.String)).to_list() == wanted
