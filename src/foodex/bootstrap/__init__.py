"""From settings to a running system: the only place that knows every part."""

from foodex.bootstrap.apps import (
    SERVICES,
    api_description,
    gateway_app,
    pages_description,
    single_app,
    whole_app,
)
from foodex.bootstrap.state import KEY_FILE, kept_secret, prepare_state
from foodex.bootstrap.system import System, compose, connect

__all__ = [
    "KEY_FILE",
    "SERVICES",
    "System",
    "api_description",
    "compose",
    "connect",
    "gateway_app",
    "kept_secret",
    "pages_description",
    "prepare_state",
    "single_app",
    "whole_app",
]
