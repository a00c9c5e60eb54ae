"""Pieces of a file that are worked on beside one another."""

import threading
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from foodex.ports.orders import ROW, Piece
from foodex.services.gateway.kinds import scoring


def piece(number: int) -> Piece:
    rows = pl.DataFrame({ROW: [number]})
    return Piece(came=rows, lines=None, orders=rows, refused=rows.clear(), progress=number / 10)


def number_of(one: Piece) -> int:
    return int(one.came[ROW][0])


def test_they_come_out_in_their_order_whoever_is_done_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "_THREADS", 2)
    second_is_done = threading.Event()
    together: list[int] = []

    def tell(one: Piece) -> pl.DataFrame:
        number = number_of(one)
        if number == 1:
            assert second_is_done.wait(10)
        together.append(number)
        if number == 2:
            second_is_done.set()
        return pl.DataFrame({ROW: [number]})

    with ThreadPoolExecutor(4) as pool:
        pieces = [piece(number) for number in range(1, 6)]
        found = list(scoring._behind(iter(pieces), tell, pool))
    assert together[:2] == [2, 1]
    assert [number_of(one) for one, _ in found] == [1, 2, 3, 4, 5]
    assert [told[ROW][0] for _, told in found] == [1, 2, 3, 4, 5]


def test_what_fails_on_one_of_them_is_raised() -> None:
    def tell(one: Piece) -> pl.DataFrame:
        if number_of(one) == 3:
            raise ValueError("of the third")
        return pl.DataFrame()

    with ThreadPoolExecutor(4) as pool, pytest.raises(ValueError, match="of the third"):
        list(scoring._behind(iter([piece(number) for number in range(1, 6)]), tell, pool))
