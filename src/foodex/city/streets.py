"""The streets of the simulated city: crossings, the ways between them, and how long a way takes.

The file is a compressed npz without pickle (`scripts/build_streets.py` makes it):

    attribution      whom to name wherever the streets are shown
    classes          names of the classes that `edge_class` numbers
    node_position    (nodes, 2) latitude and longitude in millionths of a degree
    node_places      places to eat nearest to the crossing
    node_homes       floor space nearest to the crossing, in 100 m²
    edge_from/_to    the crossings at the ends
    edge_metres      length
    edge_class       see `classes`
    edge_kmph        speed limit
    edge_drive       1 may be driven forward, 2 backward, 3 both ways, 0 not at all
    shape_start      edge i is bent at shape_position[shape_start[i] : shape_start[i + 1]]
    shape_position   (bends, 2) as node_position
"""

import heapq
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from foodex.core.errors import FieldProblem, InvalidInput

STREETS_FILE: Final = Path(__file__).parent / "data" / "helsinki_streets.npz"
"""Central Helsinki, from OpenStreetMap under the ODbL; its NOTICE.md lies beside it."""


class Vehicle(StrEnum):
    """What a courier moves with."""

    FOOT = "foot"
    BICYCLE = "bicycle"
    MOPED = "moped"
    CAR = "car"


Row: TypeAlias = "array[float]"
"""One number per crossing."""

WALK_KMPH: Final = 4.8
_FOOT_KMPH = {"steps": 3.0}
_BICYCLE_KMPH = {"main": 17.0, "street": 16.0, "cycle": 17.0, "service": 12.0, "steps": 3.0}
_BICYCLE_ELSEWHERE_KMPH = 8.0
_DRIVEN_SHARE_OF_LIMIT = 0.55
"""Lights and crossings: a car in a city centre moves at about half of what is allowed."""


@dataclass(frozen=True, slots=True, eq=False)
class Streets:
    """A street graph in which whoever walks reaches every crossing from every other.

    `lat` and `lon` are degrees, `places` and `homes` weights per crossing; the rest is as in the
    file described above.
    """

    attribution: str
    classes: tuple[str, ...]
    lat: npt.NDArray[np.float64]
    lon: npt.NDArray[np.float64]
    places: npt.NDArray[np.float64]
    homes: npt.NDArray[np.float64]
    edge_from: npt.NDArray[np.int32]
    edge_to: npt.NDArray[np.int32]
    edge_metres: npt.NDArray[np.float64]
    edge_class: npt.NDArray[np.uint8]
    edge_kmph: npt.NDArray[np.uint8]
    edge_drive: npt.NDArray[np.uint8]
    shape_start: npt.NDArray[np.int32]
    shape_position: npt.NDArray[np.int32]

    def __len__(self) -> int:
        """How many crossings there are."""
        return len(self.lat)

    def kilometres(self, nodes: Sequence[int]) -> list[Row]:
        """The shortest way on foot between each of `nodes` and every crossing, in km."""
        kilometres = self.edge_metres / 1000.0
        return self._reach(nodes, kilometres, kilometres)

    def minutes(
        self, vehicle: Vehicle, nodes: Sequence[int], *, inbound: bool = False
    ) -> list[Row]:
        """The quickest way from each of `nodes` to every crossing on empty streets, in minutes.

        With `inbound`, from every crossing to each of `nodes`: one-way streets make them differ.
        Where a vehicle may not drive it is pushed or left, so every crossing can be reached.
        """
        there, back = self._edge_minutes(vehicle)
        return self._reach(nodes, back, there) if inbound else self._reach(nodes, there, back)

    def polylines(self) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
        """Every street as its class and its line, (points, 2) of latitude and longitude."""
        ends = np.stack([self.lat, self.lon], axis=1)
        for index, kind in enumerate(self.edge_class):
            bends = self.shape_position[self.shape_start[index] : self.shape_start[index + 1]]
            start, end = ends[[self.edge_from[index]]], ends[[self.edge_to[index]]]
            yield self.classes[kind], np.concatenate([start, bends / 1e6, end])

    def _edge_minutes(
        self, vehicle: Vehicle
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        walk = self._kmph(_FOOT_KMPH, WALK_KMPH)
        if vehicle is Vehicle.FOOT:
            there = back = walk
        elif vehicle is Vehicle.BICYCLE:
            there = back = self._kmph(_BICYCLE_KMPH, _BICYCLE_ELSEWHERE_KMPH)
        else:
            drive = np.maximum(self.edge_kmph * _DRIVEN_SHARE_OF_LIMIT, WALK_KMPH)
            there = np.where(self.edge_drive & 1, drive, walk)
            back = np.where(self.edge_drive & 2, drive, walk)
        minutes_at_1_kmph = self.edge_metres * 0.06
        return minutes_at_1_kmph / there, minutes_at_1_kmph / back

    def _kmph(self, by_class: dict[str, float], otherwise: float) -> npt.NDArray[np.float64]:
        speeds = np.array([by_class.get(name, otherwise) for name in self.classes])
        return speeds[self.edge_class]

    def _reach(
        self, nodes: Sequence[int], there: npt.NDArray[np.float64], back: npt.NDArray[np.float64]
    ) -> list[Row]:
        around: list[list[tuple[int, float]]] = [[] for _ in range(len(self))]
        ends = zip(
            self.edge_from.tolist(),
            self.edge_to.tolist(),
            there.tolist(),
            back.tolist(),
            strict=True,
        )
        for start, end, cost, cost_back in ends:
            around[start].append((end, cost))
            around[end].append((start, cost_back))
        return [array("f", _cheapest(around, node)) for node in nodes]


def load_streets(path: Path = STREETS_FILE) -> Streets:
    """Read a street file; central Helsinki unless another is named.

    Raises `InvalidInput` when the file is missing, broken or not a street file.
    """
    try:
        # Opened here: numpy leaves a file that it cannot read open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        position = arrays["node_position"] / 1e6
        return Streets(
            attribution=str(arrays["attribution"]),
            classes=tuple(arrays["classes"].tolist()),
            lat=position[:, 0],
            lon=position[:, 1],
            places=arrays["node_places"].astype(np.float64),
            homes=arrays["node_homes"].astype(np.float64),
            edge_metres=arrays["edge_metres"].astype(np.float64),
            **{name: arrays[name] for name in _KEPT},
        )
    except (OSError, ValueError, IndexError, KeyError, zipfile.BadZipFile, EOFError) as error:
        problem = FieldProblem("streets", f"{path.name}: {error}")
        raise InvalidInput("The streets cannot be read", problems=[problem]) from error


_KEPT = (
    *("edge_from", "edge_to", "edge_class", "edge_kmph", "edge_drive"),
    *("shape_start", "shape_position"),
)


def _cheapest(around: list[list[tuple[int, float]]], source: int) -> list[float]:
    # Dijkstra (1959) with a binary heap and lazy deletion.
    costs = [float("inf")] * len(around)
    costs[source] = 0.0
    waiting = [(0.0, source)]
    while waiting:
        cost, node = heapq.heappop(waiting)
        if cost > costs[node]:
            continue
        for other, step in around[node]:
            longer = cost + step
            if longer < costs[other]:
                costs[other] = longer
                heapq.heappush(waiting, (longer, other))
    return costs
