"""The accounts service over HTTP, as its port."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from foodex.core.access import SYSTEM, acting_as
from foodex.core.errors import FoodexError, InternalError
from foodex.core.peer import Peer
from foodex.core.settings import AccountsSettings
from foodex.domain.purchases import Answer, Purchase, Receipt
from foodex.ports.accounts import Work
from foodex.services.accounts.client_money import MoneyClient
from foodex.services.accounts.client_people import PeopleClient
from foodex.services.accounts.group_commit import GroupCommit
from foodex.services.accounts.paths import system
from foodex.services.accounts.wire import Outcome, read_outcomes, write_purchases


class AccountsClient(MoneyClient, PeopleClient):
    """Implements the port `Accounts` by calling the service, or the gateway in front of it.

    What waits to be bought becomes one call of `work` and one request. Predictions are sold
    within `running()`; behind a gateway they are not, nor is what else is for services alone.
    """

    def __init__(self, peer: Peer, *, settings: AccountsSettings, work: Work | None = None) -> None:
        super().__init__(peer)
        self._work = work
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

    async def _sell(self, purchases: Sequence[Purchase]) -> Sequence[Receipt | FoodexError]:
        # The batch is of many callers, and nobody of them sends it.
        with acting_as(SYSTEM):
            made = await self._answers(purchases)
            results: list[Receipt | FoodexError | None] = [
                None if _is_sent(purchase, answer) else answer  # type: ignore[misc]
                for purchase, answer in zip(purchases, made, strict=True)
            ]
            sent = [place for place, result in enumerate(results) if result is None]
            if sent:
                body = write_purchases([_answered(purchases[p], made[p]) for p in sent])
                told = await self._peer.call(
                    "POST",
                    system("purchases"),
                    type=list[Outcome],
                    body=body,
                    content_type="application/json",
                )
                for place, result in zip(sent, read_outcomes(told), strict=True):
                    results[place] = _first_of(made[place], result)
        return [result or InternalError() for result in results]

    async def _answers(
        self, purchases: Sequence[Purchase]
    ) -> Sequence[Answer | FoodexError | None]:
        if self._work is None:
            return [purchase.answer for purchase in purchases]
        answers = await self._work(purchases)
        if len(answers) != len(purchases):
            raise InternalError("The orders were not answered one by one")
        return answers


def _is_sent(purchase: Purchase, answer: Answer | FoodexError | None) -> bool:
    # Under a key that was used before there may be an answer already, whatever goes wrong now.
    return not isinstance(answer, FoodexError) or purchase.idempotency_key is not None


def _answered(purchase: Purchase, answer: Answer | FoodexError | None) -> Purchase:
    return replace(purchase, answer=None if isinstance(answer, FoodexError) else answer)


def _first_of(
    answer: Answer | FoodexError | None, result: Receipt | FoodexError
) -> Receipt | FoodexError:
    # What could not be answered was sent without an answer, and that is no fault of the service.
    if isinstance(answer, FoodexError) and isinstance(result, InternalError):
        return answer
    return result
