"""What threads and blocks answer is what one thread answers, to the last bit."""

import numpy as np
import pytest

from foodex.eta import TrainingOptions, columns, threads, train
from foodex.eta import model as model_module
from foodex.eta.algorithms import BOOSTING, boosting
from tests.eta.orders import orders


def test_answers_come_in_the_order_of_the_pieces(monkeypatch):
    monkeypatch.setattr(threads, "FEWEST_ROWS", 0)
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 4)
    assert threads.each(lambda piece: piece * piece, range(100), 100) == [
        piece * piece for piece in range(100)
    ]


def test_an_exception_of_a_piece_comes_out(monkeypatch):
    monkeypatch.setattr(threads, "FEWEST_ROWS", 0)
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 2)
    with pytest.raises(ZeroDivisionError):
        threads.each(lambda piece: 1 // piece, [2, 1, 0], 3)


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 200])
def test_blocks_do_every_row_once(monkeypatch, rows):
    monkeypatch.setattr(threads, "BLOCK_ROWS", 64)
    done = np.zeros(rows, dtype=np.int64)

    def visit(some: slice) -> None:
        done[some] += 1

    threads.in_blocks(visit, rows)
    assert (done == 1).all()


def test_forecasts_by_blocks_on_threads_are_those_of_one(monkeypatch):
    frame = orders()
    model = train(frame, TrainingOptions(parameters={"num_iterations": 20}))
    once = model.forecast_frame(frame)
    monkeypatch.setattr(threads, "FEWEST_ROWS", 0)
    monkeypatch.setattr(threads, "BLOCK_ROWS", 64)
    monkeypatch.setattr(columns, "_FEWEST_CODED", 0)
    monkeypatch.setattr(model_module, "ROWS_AT_ONCE", 200)
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 3)
    assert model.forecast_frame(frame).equals(once)


def test_small_histories_keep_their_parameters_and_large_ones_grow_larger_trees():
    assert boosting(49_999) == dict(BOOSTING)
    leaves = [boosting(number)["num_leaves"] for number in (49_999, 50_000, 150_000)]
    assert leaves == [15, 31, 63]
