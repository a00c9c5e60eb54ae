"""Who is made by the first start, whatever became of the start before."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from foodex.adapters.database.engine import open_database
from foodex.adapters.payments.local import LocalPayments
from foodex.adapters.rates.opening import open_rates
from foodex.cli import first_people
from foodex.cli.first_people import ADMIN, BALANCE_MINOR, CLIENT, make_first_people
from foodex.core.access import Role
from foodex.core.clock import SystemClock
from foodex.core.settings import AccountsSettings
from foodex.services.accounts.service import AccountsService
from foodex.services.accounts.tokens import load_or_create_signing_keys


class Rig:
    """As much of a system and its settings as is needed."""

    def __init__(self, accounts: AccountsService, state_dir: Path) -> None:
        self.accounts, self.state_dir = accounts, state_dir

    async def start(self, *, demo: bool = True) -> list[str]:
        rig: Any = self
        return [one.name for one in await make_first_people(rig, rig, demo=demo)]

    def password(self, name: str) -> str:
        return (self.state_dir / f"{name}.password").read_text().strip()


@pytest.fixture
async def rig(tmp_path: Path) -> Any:
    clock, database = SystemClock(), open_database(f"sqlite+aiosqlite:///{tmp_path}/foodex.db")
    service = AccountsService(
        database=database,
        settings=AccountsSettings(argon2_memory_kib=8, argon2_passes=1),
        clock=clock,
        rates=open_rates("memory://"),
        provider=LocalPayments(secret="secret", tolerance_seconds=300, clock=clock),
        signing=load_or_create_signing_keys(tmp_path / "keys.json"),
    )
    async with service.running():
        yield Rig(service, tmp_path)
    await database.close()


async def balance(rig: Rig) -> int:
    return (await rig.accounts.balance(CLIENT)).balance_minor


async def test_an_admin_and_a_client_who_can_sign_in(rig: Rig) -> None:
    assert await rig.start() == [ADMIN, CLIENT]
    for name, role in ((ADMIN, Role.ADMIN), (CLIENT, Role.CLIENT)):
        assert (await rig.accounts.person(name)).roles == (role,)
        assert await rig.accounts.sign_in(name, rig.password(name))
        assert (rig.state_dir / f"{name}.password").stat().st_mode & 0o777 == 0o600
    assert rig.password(ADMIN) != rig.password(CLIENT)
    assert await rig.start() == []
    assert await balance(rig) == BALANCE_MINOR


async def test_without_a_demonstration_the_admin_alone(rig: Rig) -> None:
    assert await rig.start(demo=False) == [ADMIN]
    assert await rig.start(demo=False) == []
    assert await rig.start() == [CLIENT]


async def test_nobody_is_made_where_somebody_is(rig: Rig) -> None:
    await rig.accounts.create_person("ada", (Role.ADMIN,))
    assert await rig.start() == []
    assert len((await rig.accounts.people()).people) == 1
    assert not list(rig.state_dir.glob("*.password"))


async def test_two_that_start_at_once_on_one_database(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    rigs = rig, Rig(rig.accounts, tmp_path / "other")
    made = await asyncio.gather(*(one.start() for one in rigs))
    assert sorted(name for names in made for name in names) == [ADMIN, CLIENT]
    for one, names in zip(rigs, made, strict=True):
        assert {file.stem for file in one.state_dir.glob("*.password")} == set(names)
        for name in names:
            assert await one.accounts.sign_in(name, one.password(name))
    assert await balance(rig) == BALANCE_MINOR


async def test_a_start_that_is_killed_is_gone_on_with(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    async def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    create, top_up = rig.accounts.create_person, rig.accounts.top_up
    rig.accounts.create_person = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await rig.start()
    before = rig.password(ADMIN)
    rig.accounts.create_person = create  # type: ignore[method-assign]
    rig.accounts.top_up = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        await rig.start()
    assert rig.password(ADMIN) == before
    rig.accounts.top_up = top_up  # type: ignore[method-assign]
    await rig.start()
    for name in (ADMIN, CLIENT):
        assert await rig.accounts.sign_in(name, rig.password(name))
    assert await balance(rig) == first_people.BALANCE_MINOR
