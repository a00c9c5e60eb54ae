from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foodex.city.streets import STREETS_FILE, WALK_KMPH, Streets, Vehicle, load_streets
from foodex.core.errors import InvalidInput

STREETS = load_streets()


def test_the_file_is_small_and_names_its_source() -> None:
    assert STREETS_FILE.stat().st_size <= 1024 * 1024
    notice = (STREETS_FILE.parent / "NOTICE.md").read_text()
    assert "© OpenStreetMap contributors" in notice
    assert "Open Database License" in notice
    assert "OpenStreetMap contributors" in STREETS.attribution
    assert "ODbL" in STREETS.attribution


def test_it_is_central_helsinki(streets: Streets) -> None:
    assert 60.16 < streets.lat.min() < streets.lat.max() < 60.18
    assert 24.93 < streets.lon.min() < streets.lon.max() < 24.96
    assert 80 < streets.edge_metres.sum() / 1000 < 110
    assert streets.places.sum() > 300
    assert (streets.homes > 0).sum() > 500


@pytest.mark.parametrize("vehicle", list(Vehicle))
def test_every_crossing_is_reached_both_ways(streets: Streets, vehicle: Vehicle) -> None:
    for inbound in (False, True):
        (row,) = streets.minutes(vehicle, [0], inbound=inbound)
        assert len(row) == len(streets)
        assert np.isfinite(row).all()
        assert row[0] == 0


def test_one_way_streets_make_the_way_back_another() -> None:
    there = np.array(STREETS.minutes(Vehicle.CAR, [100]))
    back = np.array(STREETS.minutes(Vehicle.CAR, [100], inbound=True))
    assert np.abs(there - back).max() > 0.5
    on_foot = np.array(STREETS.minutes(Vehicle.FOOT, [100]))
    assert np.allclose(on_foot, STREETS.minutes(Vehicle.FOOT, [100], inbound=True))


def test_inbound_is_outbound_seen_from_the_other_end(streets: Streets) -> None:
    outbound = streets.minutes(Vehicle.CAR, [5])[0][900]
    assert streets.minutes(Vehicle.CAR, [900], inbound=True)[0][5] == pytest.approx(outbound)


@settings(max_examples=20, deadline=None)
@given(node=st.integers(0, len(STREETS) - 1))
def test_ways_are_ways(node: int) -> None:
    (km,) = STREETS.kilometres([node])
    north = (STREETS.lat - STREETS.lat[node]) * 111.2
    east = (STREETS.lon - STREETS.lon[node]) * 55.3
    # No way is shorter than the straight line, and along an edge none is longer than the edge.
    assert (np.hypot(north, east) <= np.array(km) + 0.003).all()
    across = np.abs(np.array(km)[STREETS.edge_from] - np.array(km)[STREETS.edge_to])
    assert (across <= STREETS.edge_metres / 1000 + 1e-6).all()
    (minutes,) = STREETS.minutes(Vehicle.FOOT, [node])
    assert (np.array(minutes) >= np.array(km) / WALK_KMPH * 60 - 1e-4).all()


def test_polylines_run_from_crossing_to_crossing(streets: Streets) -> None:
    lines = list(streets.polylines())
    assert len(lines) == len(streets.edge_from)
    bent = 0
    for index in range(0, len(lines), 50):
        kind, line = lines[index]
        assert kind in streets.classes
        assert line[0] == pytest.approx(
            [streets.lat[streets.edge_from[index]], streets.lon[streets.edge_from[index]]]
        )
        assert line[-1] == pytest.approx(
            [streets.lat[streets.edge_to[index]], streets.lon[streets.edge_to[index]]]
        )
        drawn = sum(
            np.hypot((b[0] - a[0]) * 111_200, (b[1] - a[1]) * 55_300) for a, b in pairwise(line)
        )
        assert drawn == pytest.approx(streets.edge_metres[index], rel=0.02, abs=0.5)
        bent += len(line) > 2
    assert bent > 5


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", b"not a street file"])
def test_a_broken_file_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "streets.npz"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="streets"):
        load_streets(path)


def test_a_missing_file_and_another_npz_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        load_streets(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", something=np.zeros(3))
    with pytest.raises(InvalidInput):
        load_streets(tmp_path / "other.npz")
    np.savez(tmp_path / "pickled.npz", node_position=np.array([{}], dtype=object))
    with pytest.raises(InvalidInput):
        load_streets(tmp_path / "pickled.npz")
