"""What a forecast says."""

from foodex.domain.forecasts import QUANTILES, Forecast, Source


def test_the_quantiles_are_the_interval_and_rise() -> None:
    assert (QUANTILES[0], QUANTILES[-1]) == (0.05, 0.95)
    assert list(QUANTILES) == sorted(set(QUANTILES))
    assert [round(1 - level, 9) for level in reversed(QUANTILES)] == list(QUANTILES)


def test_the_median_is_the_middle_quantile() -> None:
    minutes = tuple(float(value) for value in range(20, 20 + len(QUANTILES)))
    forecast = Forecast(quantiles_minutes=minutes, source=Source.MODEL, degraded=False)
    assert forecast.median_minutes == 23


def test_the_ladder_goes_from_best_to_worst() -> None:
    assert [str(rung) for rung in Source] == ["model", "history", "distance", "constant"]
