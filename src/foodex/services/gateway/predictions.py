"""Paid predictions at the public door: looked up, and made again from what was recorded."""

from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from foodex.core.access import Role, allow, current_principal
from foodex.core.errors import Conflict, FieldProblem, InvalidInput, NotFound
from foodex.core.streams import begun
from foodex.domain.forecasts import Record
from foodex.domain.people import Scope
from foodex.domain.purchases import Prediction, PredictionFilter, PredictionsPage
from foodex.ports.accounts import Accounts
from foodex.ports.ml import Ml
from foodex.services.gateway.answers import written

_BIG: Final = 2**63 - 1
_READ: Final = [allow(*Role, scope=Scope.PREDICTIONS_READ)]

Id = Annotated[str, Path(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
Whose = Annotated[
    str | None, Query(description="Whose account, for admins; else and by default one's own.")
]
Model = Annotated[str | None, Query(description="Only predictions of this model.")]
KeyId = Annotated[str | None, Query(description="Only predictions asked for with this key.")]
Since = Annotated[AwareDatetime | None, Query(description="From this time on.")]
Until = Annotated[AwareDatetime | None, Query(description="Before this time.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduced:
    """A recorded answer and the one made from its record now.

    `identical` says that both are the same to the byte, as they are sent.
    """

    identical: bool
    prediction_id: str
    model: str | None
    version: int | None
    recorded: Any
    reproduced: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidFor:
    """A paid prediction with its bodies: `features` is the encoded row, `inputs` what else it was
    made from."""

    id: str
    account: str
    at: datetime
    key_id: str
    model: str | None
    version: int | None
    price_minor: int
    currency: str
    order: Any
    answer: Any
    features: tuple[float | None, ...] | None
    inputs: Any


def router(ml: Ml, accounts: Accounts) -> APIRouter:
    """The routes over both ports."""
    routes = APIRouter(prefix="/predictions", tags=["predictions"])

    @routes.post(
        "/{prediction_id}/reproduce", dependencies=_READ, summary="Make a prediction again"
    )
    async def reproduce(prediction_id: Id) -> Reproduced:
        """From what was recorded of it, with the version that made it, wherever that is now.

        Nothing is charged. `Conflict` (409) where its bodies are no longer kept.
        """
        found = await accounts.prediction(_seen_by(), prediction_id)
        if found.answer is None or found.inputs is None:
            raise Conflict("What this prediction was made from is no longer kept")
        again = await ml.reproduce(
            Record(
                model=found.model,
                version=found.version,
                features=found.features,
                inputs=found.inputs,
            )
        )
        body = written(again)
        return Reproduced(
            identical=body == found.answer,
            prediction_id=found.id,
            model=found.model,
            version=found.version,
            recorded=msgspec.json.decode(found.answer),
            reproduced=msgspec.json.decode(body),
        )

    @routes.get("", dependencies=_READ, summary="A page of paid predictions, newest first")
    async def predictions(
        account: Whose = None,
        model: Model = None,
        key_id: KeyId = None,
        since: Since = None,
        until: Until = None,
        before: Annotated[
            int | None, Query(ge=1, le=_BIG, description="The page's cursor.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=_BIG, description="Most in one page.")] = 100,
    ) -> PredictionsPage:
        """Without their bodies; those are told of each one by its id."""
        filter_ = PredictionFilter(model=model, key_id=key_id, since=since, until=until)
        return await accounts.predictions(_account(account), filter_, before=before, limit=limit)

    @routes.get(
        ".csv",
        dependencies=_READ,
        response_class=StreamingResponse,
        summary="Paid predictions as a file, oldest first",
    )
    async def predictions_csv(
        account: Whose = None,
        model: Model = None,
        key_id: KeyId = None,
        since: Since = None,
        until: Until = None,
    ) -> StreamingResponse:
        filter_ = PredictionFilter(model=model, key_id=key_id, since=since, until=until)
        return StreamingResponse(
            await begun(accounts.predictions_csv(_account(account), filter_)),
            media_type="text/csv; charset=utf-8",
            headers={"content-disposition": 'attachment; filename="predictions.csv"'},
        )

    @routes.get("/{prediction_id}", dependencies=_READ, summary="One paid prediction")
    async def prediction(prediction_id: Id) -> PaidFor:
        """With what it was made from; what is no longer kept is null."""
        return _paid_for(await accounts.prediction(_seen_by(), prediction_id))

    return routes


def _is_admin() -> bool:
    return Role.ADMIN in current_principal().roles


def _seen_by() -> str | None:
    """Whose predictions whoever acts may look at; None is everybody's."""
    if _is_admin():
        return None
    account = current_principal().account
    if account is None:
        raise NotFound("There is no such prediction")
    return account


def _account(wanted: str | None) -> str:
    own = current_principal().account
    account = own if wanted is None else wanted
    if account is None:
        problem = FieldProblem("account", "must be named: you have none of your own")
        raise InvalidInput("Whose account is not known", problems=[problem])
    if account != own and not _is_admin():
        raise NotFound(f"There is no account '{account}'")
    return account


def _paid_for(prediction: Prediction) -> PaidFor:
    features = prediction.features
    return PaidFor(
        id=prediction.id,
        account=prediction.account,
        at=prediction.at,
        key_id=prediction.key_id,
        model=prediction.model,
        version=prediction.version,
        price_minor=prediction.price_minor,
        currency=prediction.currency,
        order=_json(prediction.order),
        answer=_json(prediction.answer),
        # JSON has no word for what is missing but null.
        features=None
        if features is None
        else tuple(one if isfinite(one) else None for one in memoryview(features).cast("d")),
        inputs=_json(prediction.inputs),
    )


def _json(body: bytes | None) -> Any:
    return None if body is None else msgspec.json.decode(body)
