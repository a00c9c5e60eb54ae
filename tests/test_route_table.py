"""Who may call which route, as `routes.txt` says: a new or a changed route must be told there.

METHOD path    roles that may call it, or public    [scope with which a key may, too]

.venv/bin/python -m tests.test_route_table    writes the table anew, to be read before it is kept
"""

from pathlib import Path

import aiohttp

from foodex.bootstrap import api_description
from foodex.core.access import KeyAccess
from foodex.domain.people import Scope
from scripts.write_reference import route_roles, route_scope, walk_routes
from tests.support.serving import serve

TABLE = Path(__file__).with_name("routes.txt")
_FORECASTS = ("/api/v1/eta", "/api/v1/ml/forecast", "/api/v1/predictions/")


def declared() -> list[str]:
    lines = []
    for route in walk_routes(api_description()):
        who = " ".join(sorted(route_roles(route) or ())) or "public"
        scope = f"  [{one}]" if (one := route_scope(route)) else ""
        lines += [f"{m:<6} {route.path_format:<58} {who}{scope}" for m in sorted(route.methods)]
    return lines


def test_the_table_tells_every_route() -> None:
    told, found = TABLE.read_text().splitlines(), declared()
    wrong = [f"- {line}" for line in told if line not in found]
    wrong += [f"+ {line}" for line in found if line not in told]
    assert not wrong, "tests/routes.txt differs from the code:\n" + "\n".join(wrong)
    assert len(told) == len(set(told)) == len(found)


def test_keys_open_no_more_than_reading_ones_own_and_forecasts() -> None:
    """What a key may do at worst if it leaks: nothing is changed but what a forecast costs."""
    scopes = [str(scope) for scope in Scope]
    for line in TABLE.read_text().splitlines():
        method, path, rest = line.split(None, 2)
        _, opens, scope = rest.partition("[")
        if opens:
            assert scope.rstrip("]") in scopes, line
            reads = method == "GET" or path.endswith("/reproduce")
            assert reads or path.startswith(_FORECASTS), line


async def test_no_route_falls_over_bodies_that_cannot_be_read() -> None:
    app = api_description(access=KeyAccess("key"))
    bodies = [
        b'{"a":' + b"[" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"\xff\xfe",
        b"<a/>",
    ]
    headers = {"authorization": "Bearer key", "content-type": "application/json"}
    wrong, walked = [], 0
    async with serve(app) as url, aiohttp.ClientSession(headers=headers) as session:
        for route in (r for r in walk_routes(app) if r.dependant.body_params):
            path = route.path_format
            for name in route.param_convertors:
                path = path.replace("{" + name + "}", "1")
            for method in sorted(route.methods):
                for number, body in enumerate(bodies):
                    walked += 1
                    async with session.request(method, url + path, data=body) as answer:
                        told = answer.content_type == "application/problem+json"
                        if answer.status != 400 or not told:
                            wrong.append((method, path, number, answer.status))
    assert wrong == []
    assert walked > 60


if __name__ == "__main__":
    TABLE.write_text("\n".join(declared()) + "\n")
