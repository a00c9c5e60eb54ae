"""Sessions in cookies, as browsers and thieves meet them."""

import asyncio
import re
from typing import Any
from urllib.parse import quote

import pytest
from starlette.responses import JSONResponse

from foodex.core.access import Role
from foodex.core.settings import HttpSettings
from foodex.domain.people import Action, AuditFilter
from foodex.services.dashboard.rendering import inner_path
from foodex.services.dashboard.session import ACCESS, REFRESH
from tests.services.dashboard.conftest import FAST, PASSWORD, House

OWN = "/session"
"""A page that asks nothing of the API but who looks."""


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(house: House) -> None:
    told = await house.tab().sign_in()
    assert told.status == 303
    assert told.headers["location"] == "/account"
    assert set(told.cookies) == {ACCESS, REFRESH}
    for name, seconds in ((ACCESS, 300), (REFRESH, FAST.refresh_token_seconds)):
        morsel = told.cookies[name]
        assert morsel["httponly"]
        assert (morsel["samesite"], morsel["path"], morsel["domain"]) == ("Lax", "/", "")
        assert not morsel["secure"]
        assert seconds - 60 <= int(morsel["max-age"]) <= seconds


@pytest.mark.parametrize("http", [HttpSettings(behind_tls=True)])
async def test_behind_tls_cookies_travel_by_tls_alone(house: House) -> None:
    told = await house.tab().sign_in()
    assert all(morsel["secure"] for morsel in told.cookies.values())
    assert told.headers["strict-transport-security"]


async def test_nobody_is_led_to_sign_in_and_back(house: House) -> None:
    tab = house.tab()
    told = await tab("GET", "/account?part=keys")
    assert (told.status, told.headers["location"]) == (
        303,
        f"/sign-in?next={quote('/account?part=keys', safe='')}",
    )
    shown = await tab("GET", told.headers["location"])
    assert 'name="next" value="/account?part=keys"' in shown.text
    told = await tab("GET", OWN, hx_request="true", hx_current_url=f"{house.url}/data?a=b")
    assert (told.status, told.text) == (204, "")
    assert told.headers["hx-redirect"] == f"/sign-in?next={quote('/data?a=b', safe='')}"


async def test_a_wrong_password_keeps_what_was_typed(house: House) -> None:
    tab = house.tab()
    given = {"name": "ada<b>", "password": "wrong", "next": "/account"}
    told = await tab("POST", "/sign-in", given)
    assert told.status == 401
    assert not told.cookies
    assert 'value="ada&lt;b&gt;"' in told.text
    assert 'value="/account"' in told.text
    assert "wrong" in told.text
    assert 'value="wrong"' not in told.text


async def test_an_expired_session_is_renewed_once_for_all_tabs(house: House) -> None:
    tab = await house.signed_in()
    first = tab.refresh
    house.clock.pass_(seconds=301)
    tab.forget_access()
    second = tab.another()
    house.asked.clear()
    answers = await asyncio.gather(tab("GET", OWN), second("GET", "/admin"))
    assert [answer.status for answer in answers] == [204, 403]
    assert house.asked.count("POST /api/v1/accounts/refresh") == 1
    assert tab.refresh == second.refresh != first
    # A request that was on its way with the spent token is served as well.
    late = tab.another()
    late.cookies = {REFRESH: str(first)}
    assert (await late("GET", OWN)).status == 204
    assert (await tab("GET", OWN)).status == 204
    assert house.asked.count("POST /api/v1/accounts/refresh") == 1


async def test_an_access_token_past_its_time_is_renewed_too(house: House) -> None:
    """A browser whose clock is behind still sends it."""
    tab = await house.signed_in()
    house.clock.pass_(seconds=900)
    told = await tab("GET", OWN)
    assert told.status == 204
    assert set(told.cookies) == {ACCESS, REFRESH}


async def test_a_spent_token_used_later_ends_the_session(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foodex.services.dashboard.session._REMEMBERED_SECONDS", 0.0)
    tab = await house.signed_in()
    thief = tab.another()
    thief.forget_access()
    tab.forget_access()
    assert (await tab("GET", OWN)).status == 204
    await asyncio.sleep(0)
    told = await thief("GET", OWN)
    # Within the grace it is refused without harm: it may be a tab of another copy's.
    assert told.status == 409
    assert (await tab("GET", OWN)).status == 204
    house.clock.pass_(seconds=FAST.refresh_grace_seconds + 1)
    told = await thief("GET", OWN)
    assert (told.status, told.headers["location"][:8]) == (303, "/sign-in")
    assert thief.cookies == {}
    assert (await tab("GET", OWN)).status == 303
    found = await house.accounts.audit(AuditFilter(actions=(Action.REFRESH_REUSED,)))
    assert [line.target for line in found.entries] == ["ada"]


async def test_a_renewal_that_failed_is_tried_again(house: House) -> None:
    tab = await house.signed_in()
    tab.forget_access()
    house.away.append(JSONResponse({"type": "urn:foodex:problem:unavailable"}, 503))
    told = await tab("GET", OWN)
    assert told.status == 503
    # The cookies are kept: nobody is signed out because a service was away.
    assert not told.cookies
    assert "no-store" in told.headers["cache-control"]
    assert told.headers["x-content-type-options"] == "nosniff"
    assert told.headers["x-request-id"]
    house.away.clear()
    assert (await tab("GET", OWN)).status == 204


async def test_signing_out_ends_the_session_everywhere_it_was_copied(house: House) -> None:
    tab = await house.signed_in()
    copy = tab.another()
    told = await tab("POST", "/sign-out")
    assert (told.status, told.headers["location"]) == (303, "/sign-in")
    assert tab.cookies == {}
    for _ in range(2):
        told = await copy("GET", OWN)
        assert (told.status, copy.cookies) == (303, {})
    # Signing out once more is no error.
    assert (await tab("POST", "/sign-out")).status == 303


async def test_somebody_blocked_is_out_at_once(house: House) -> None:
    tab = await house.signed_in()
    assert (await tab("GET", OWN)).status == 204
    await house.accounts.block("ada")
    assert (await tab("GET", OWN)).status == 303
    assert tab.cookies == {}
    assert (await tab.sign_in()).status == 401


async def test_a_change_of_roles_shows_at_once(house: House) -> None:
    tab = await house.signed_in()
    assert (await tab("GET", "/admin")).status == 403
    await house.accounts.change_roles("ada", (Role.CLIENT, Role.ADMIN))
    assert 'href="/admin"' in (await tab("GET", "/nowhere")).text


async def test_forms_of_other_sites_are_refused(house: House) -> None:
    cases = [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "cross-site", "origin": house.url}, False),
        ({"origin": house.url}, True),
        ({"origin": "http://elsewhere.example"}, False),
        ({"origin": "null"}, False),
        ({}, False),
    ]
    for headers, passes in cases:
        tab = await house.signed_in()
        cookie = "; ".join(f"{name}={value}" for name, value in tab.cookies.items())
        for path in ("/preferences", "/nowhere", "/sign-out"):
            async with house.web.post(
                house.url + path,
                data={"theme": "dark"},
                headers={**headers, "cookie": cookie},
                allow_redirects=False,
            ) as answer:
                assert (answer.status == 403) is not passes, (path, headers)
        told = await tab("GET", OWN)
        assert told.status == (303 if passes else 204), headers


async def test_addresses_of_other_sites_cannot_be_asked_from_there(house: House) -> None:
    """A page may be followed to from anywhere, but no site may put it into a frame or read it."""
    tab = await house.signed_in()
    told = await tab("GET", "/nowhere", sec_fetch_site="cross-site")
    assert told.status == 404
    assert "ada" in told.text
    assert told.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in told.headers["content-security-policy"]
    assert "access-control-allow-origin" not in told.headers
    # Where browsers know no fetch metadata, a form says whence it comes only under this.
    assert told.headers["referrer-policy"] == "same-origin"


async def test_next_never_leads_off_this_site(house: House) -> None:
    tab = house.tab()
    for wanted in (
        "",
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "evil.example",
        "/a\r\nset-cookie: a=b",
    ):
        assert inner_path(wanted) == "/", wanted
        told = await tab("POST", "/preferences", {"next": wanted, "theme": "dark"})
        assert told.headers["location"] == "/", wanted
    told = await tab.sign_in(wanted="//evil.example")
    assert (told.status, told.headers["location"]) == (303, "/")
    told = await tab("GET", "/sign-in?next=//evil.example")
    assert (told.status, told.headers["location"]) == (303, "/")


async def test_next_keeps_paths_as_they_are(house: House) -> None:
    tab = house.tab()
    for wanted, there in (
        ("/data/orders?page=2", "/data/orders?page=2"),
        ("/data/заказы", "/data/%D0%B7%D0%B0%D0%BA%D0%B0%D0%B7%D1%8B"),
        ("/data/a%20b", "/data/a%20b"),
        ("/models?of=https://x.example", "/models?of=https://x.example"),
    ):
        told = await tab("POST", "/preferences", {"next": wanted})
        assert told.headers["location"] == there
        told = await tab("POST", "/preferences", {"next": wanted}, hx_request="true")
        assert told.headers["hx-redirect"] == there


async def test_cookies_of_others_at_this_host_do_no_harm(house: House) -> None:
    """Browsers send the cookies of all ports of a host."""
    tab = await house.signed_in()
    tab.cookies = {"other[a]": '{"x": 1}', "b a d": '"', **tab.cookies}
    assert (await tab("GET", OWN)).status == 204


async def test_registering_signs_in(house: House) -> None:
    tab = house.tab()
    told = await tab("POST", "/register", {"name": "grace", "password": "short"})
    assert told.status == 422
    assert "password" in told.text
    assert 'value="grace"' in told.text
    told = await tab("POST", "/register", {"name": "grace", "password": PASSWORD})
    assert (told.status, told.headers["location"]) == (303, "/")
    assert "grace" in (await tab("GET", "/nowhere")).text


async def test_pages_show_names_as_text(house: House) -> None:
    told = await house.tab()("GET", "/sign-in?next=/%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in told.text
    told = await house.tab()("GET", "/nowhere/%3Cscript%3Ealert(1)%3C/script%3E")
    assert told.status == 404
    assert "<script>alert" not in told.text
    inline: list[Any] = re.findall(r"<script(?![^>]*(?:src=|application/json))", told.text)
    assert inline == []
    assert not re.search(r"\son[a-z]+=", told.text)


async def test_an_answer_to_a_form_tells_the_page_that_the_form_was_on(house: House) -> None:
    tab = await house.signed_in("client")
    form = {"old": "no", "new": "a new password", "again": "another one"}
    place = "/account/security/password"
    for came, leads in (
        (f"{house.url}/account/security?changed=1", "/account/security?changed=1"),
        (f"{house.url}//evil.example", "/"),
        (f"{house.url}/\\evil.example", "/"),
    ):
        told = await tab("POST", place, form, referer=came)
        assert told.status == 422
        assert f'data-here="{leads}"' in told.text
        assert f'name="next" value="{leads}"' in told.text
    asked = await tab("GET", "/account/entries?kind=charge")
    assert 'name="next" value="/account/entries?kind=charge"' in asked.text
    hidden = await tab("POST", place, form)
    assert "data-here" not in hidden.text
    assert 'name="next" value="/"' in hidden.text
