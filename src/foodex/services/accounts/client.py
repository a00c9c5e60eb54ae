"""The accounts service over HTTP, as its port."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from foodex.core.access import SYSTEM, acting_as
from foodex.core.errors import FoodexError
from foodex.core.peer import Peer
from foodex.core.settings import AccountsSettings
from foodex.domain.purchases import Purchase, Receipt
from foodex.services.accounts.client_money import MoneyClient
from foodex.services.accounts.client_people import PeopleClient
from foodex.services.accounts.group_commit import GroupCommit
from foodex.services.accounts.paths import system
from foodex.services.accounts.wire import Outcome, read_outcomes, write_purchases


class AccountsClient(MoneyClient, PeopleClient):
    """Implements the port `Accounts` by calling the service, or the gateway in front of it.

    What waits to be bought becomes one request. Predictions are sold within `running()`; behind a
    gateway they are not, nor is what else is for services alone.
    """

    def __init__(self, peer: Peer, *, settings: AccountsSettings) -> None:
        super().__init__(peer)
        self._group: GroupCommit[Purchase, Receipt] = GroupCommit(
            self._sell, waiting=settings.waiting, batch=settings.batch
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within the block predictions are sold."""
        async with self._group.running():
            yield

    async def buy(self, purchase: Purchase) -> Receipt:
        """Charge and record one prediction; its answer, once both are durable."""
        return await self._group.submit(purchase)

    async def buy_many(self, purchases: Sequence[Purchase]) -> Sequence[Receipt | FoodexError]:
        """As `buy`, for some that come at once."""
        return await self._group.submit_many(purchases)

    async def _sell(self, purchases: Sequence[Purchase]) -> Sequence[Receipt | FoodexError]:
        # The batch is of many callers, and nobody of them sends it.
        with acting_as(SYSTEM):
            told = await self._peer.call(
                "POST",
                system("purchases"),
                type=list[Outcome],
                body=write_purchases(purchases),
                content_type="application/json",
            )
        return read_outcomes(told)
