"""A payment provider by its URL."""

from foodex.adapters.payments.local import LocalPayments
from foodex.core.clock import Clock
from foodex.core.errors import FieldProblem, InvalidInput
from foodex.ports.payments import Payments


def open_payments(url: str, *, secret: str, tolerance_seconds: float, clock: Clock) -> Payments:
    """The provider for the URL's scheme, of which there is `local`; `InvalidInput` for others."""
    scheme = url.partition("://")[0]
    if scheme == "local":
        return LocalPayments(secret=secret, tolerance_seconds=tolerance_seconds, clock=clock)
    problem = FieldProblem("accounts.payments_url", f"'{scheme}' is no payment provider; use local")
    raise InvalidInput("The settings cannot be used", problems=[problem])
