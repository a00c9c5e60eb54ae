"""What all tests share."""

import pytest
import structlog
from hypothesis import settings

pytest.register_assert_rewrite("tests.contracts")
pytest_plugins = ["tests.support.servers"]

# Until a command sets up logging, structlog renders local values into tracebacks, which takes
# seconds for one error.
structlog.configure(
    processors=[
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        )
    ]
)

# How long one example takes says more about who else is using the machine.
settings.register_profile("foodex", deadline=None)
settings.load_profile("foodex")
