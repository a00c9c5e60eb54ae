"""What stands in the menu, and for whom."""

from dataclasses import dataclass
from typing import Final

from foodex.core.access import EVERY_ROLE, Role

STAFF: Final = frozenset({Role.OPERATOR, Role.ANALYST, Role.ADMIN})
ANALYSTS: Final = frozenset({Role.ANALYST, Role.ADMIN})
ADMINS: Final = frozenset({Role.ADMIN})


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu: its key among the texts, where it leads, its icon, who sees it."""

    key: str
    path: str
    icon: str
    roles: frozenset[Role] = EVERY_ROLE

    def holds(self, path: str) -> bool:
        """Whether a page is this entry's or below it."""
        return path == self.path or (self.path != "/" and path.startswith(self.path + "/"))


@dataclass(frozen=True, slots=True)
class Group:
    """Entries under one heading."""

    key: str
    entries: tuple[Entry, ...]


MENU: Final = (
    # Live orders and their map belong here, first.
    Group(
        "operations",
        (
            Entry("overview", "/", "layout-dashboard"),
            Entry("predict", "/predict", "timer"),
            Entry("batches", "/batches", "file-stack"),
        ),
    ),
    Group(
        "learning",
        (
            Entry("data", "/data", "database", STAFF),
            Entry("models", "/models", "brain-circuit", STAFF),
        ),
    ),
    Group(
        "deciding",
        (
            Entry("scenarios", "/scenarios", "workflow"),
            Entry("reports", "/reports", "file-chart-column", STAFF),
            Entry("costs", "/costs", "calculator", STAFF),
        ),
    ),
    Group(
        "own",
        (
            Entry("account", "/account", "wallet"),
            Entry("admin", "/admin", "shield", ADMINS),
        ),
    ),
)


def menu_for(roles: frozenset[Role]) -> tuple[Group, ...]:
    """The menu of somebody with these roles, without empty groups."""
    seen = (
        Group(group.key, tuple(entry for entry in group.entries if entry.roles & roles))
        for group in MENU
    )
    return tuple(group for group in seen if group.entries)
