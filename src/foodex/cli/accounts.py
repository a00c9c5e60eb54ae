"""Commands for people and money: people, ledger, topup."""

from typing import TYPE_CHECKING, Annotated

import typer

from foodex.cli import output
from foodex.cli.options import AsJson, State, run, settings_for, system_for
from foodex.core.errors import FieldProblem, InvalidInput
from foodex.domain.ledger import Verification
from foodex.domain.money import Money, read_amount

if TYPE_CHECKING:
    from foodex.core.access import Role
    from foodex.domain.people import NewPerson, Person
    from foodex.ports.accounts import Accounts

people_app = typer.Typer(help="People and what they may do.", no_args_is_help=True)
ledger_app = typer.Typer(help="The ledger of prepaid money.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The person's name.")]
AskPassword = Annotated[
    bool, typer.Option("--ask-password", help="Type a password; else one is made and shown once.")
]

_PAGE = 500


def add_to(app: typer.Typer) -> None:
    """Put these commands under `foodex`."""
    app.command("topup")(top_up)
    app.add_typer(people_app, name="people")
    app.add_typer(ledger_app, name="ledger")


def top_up(
    account: Annotated[str, typer.Argument(help="The account; a person's is called like them.")],
    amount: Annotated[str, typer.Argument(help="How much, in its currency: 12.50.")],
    reference: Annotated[
        str | None, typer.Option(help="Makes the command harmless to repeat: added once under it.")
    ] = None,
    note: Annotated[str, typer.Option(help="What the ledger shall say of it.")] = "",
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Add money to a prepaid account."""

    async def main() -> None:
        async with system_for(settings_for(state)) as system:
            currency = (await system.accounts.balance(account)).currency
            minor = read_amount(amount, currency)
            entry = await system.accounts.top_up(account, minor, reference=reference, note=note)
        if as_json:
            output.emit(entry)
            return
        added = Money(amount_minor=entry.amount_minor, currency=currency)
        left = Money(amount_minor=entry.balance_minor, currency=currency)
        output.out().print(f"[green]✓[/] {added} added to [bold]{account}[/], which has {left}")

    run(main)


@ledger_app.command("verify")
def verify(state: State = None, as_json: AsJson = False) -> None:
    """Compute the whole ledger anew and say whether it holds: exit code 0 if it does, 1 if not."""

    async def main() -> Verification:
        async with system_for(settings_for(state)) as system:
            return await system.accounts.verify()

    found = run(main)
    if as_json:
        output.emit(found)
    else:
        _show(found)
    if not found.holds:
        raise typer.Exit(1)


def _show(found: Verification) -> None:
    totals = ", ".join(str(total) for total in found.totals) or "0"
    output.table(
        ("accounts", "entries", "paid predictions", "sum of all entries"),
        [(found.accounts, found.entries, found.predictions, totals)],
    )
    if found.holds:
        output.out().print("[green]✓[/] The ledger holds.")
        return
    output.out().print(f"[red]✗[/] The ledger does not hold ({len(found.differences)} shown):")
    output.table(
        ("what", "account", "where", "expected", "found"),
        [(d.fault, d.account, d.subject, d.expected, d.found) for d in found.differences],
    )


@people_app.command("list")
def list_(state: State = None, as_json: AsJson = False) -> None:
    """List everybody."""

    async def main() -> "list[Person]":
        async with system_for(settings_for(state)) as system:
            return await _everybody(system.accounts)

    found = run(main)
    if as_json:
        output.emit(found)
    elif not found:
        output.out().print("Nobody yet: `foodex people create NAME --role admin`")
    else:
        output.table(
            ("name", "roles", "since", "blocked"),
            [(p.name, " ".join(p.roles), p.created_at, p.blocked_at) for p in found],
        )


@people_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What to call them: a-z, 0-9 and ._@+-.")],
    roles: Annotated[
        list[str],
        typer.Option("--role", "-r", help="client, operator, analyst or admin; may be repeated."),
    ],
    ask_password: AskPassword = False,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Make somebody, with an account of money."""
    password, wanted = _typed(ask_password), _roles(roles)

    async def main() -> "NewPerson":
        async with system_for(settings_for(state)) as system:
            return await system.accounts.create_person(name, wanted, password)

    made = run(main)
    _introduce(made, f"is there, as {' '.join(made.person.roles)}", as_json=as_json)


@people_app.command("password")
def password(
    name: Name, ask_password: AskPassword = False, state: State = None, as_json: AsJson = False
) -> None:
    """Give somebody a new password; their sessions end, their keys stay."""
    typed = _typed(ask_password)

    async def main() -> "NewPerson":
        async with system_for(settings_for(state)) as system:
            return await system.accounts.set_password(name.lower(), typed)

    _introduce(run(main), "has a new password", as_json=as_json)


@people_app.command("roles")
def roles(
    name: Name,
    roles: Annotated[list[str], typer.Argument(help="All the roles they shall have.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Give somebody these roles and no others: client, operator, analyst, admin."""
    wanted = _roles(roles)

    async def main() -> "Person":
        async with system_for(settings_for(state)) as system:
            return await system.accounts.change_roles(name.lower(), wanted)

    changed = run(main)
    _tell(changed, f"is now {' '.join(changed.roles)}", as_json=as_json)


@people_app.command("block")
def block(name: Name, state: State = None, as_json: AsJson = False) -> None:
    """Shut somebody out: their sessions end, their keys rest."""

    async def main() -> "Person":
        async with system_for(settings_for(state)) as system:
            return await system.accounts.block(name.lower())

    _tell(run(main), "is shut out", as_json=as_json)


@people_app.command("unblock")
def unblock(name: Name, state: State = None, as_json: AsJson = False) -> None:
    """Let somebody in again, with the keys they had."""

    async def main() -> "Person":
        async with system_for(settings_for(state)) as system:
            return await system.accounts.unblock(name.lower())

    _tell(run(main), "may come in again", as_json=as_json)


async def _everybody(accounts: "Accounts") -> "list[Person]":
    found: list[Person] = []
    after: str | None = None
    while True:
        page = await accounts.people(after=after, limit=_PAGE)
        found += page.people
        after = page.next_after
        if after is None:
            return found


def _roles(names: list[str]) -> "tuple[Role, ...]":
    # Late, here and below: what knows roles takes a web framework along.
    from foodex.core.access import Role

    try:
        return tuple(Role(name) for name in names)
    except ValueError:
        wrong = next(name for name in names if name not in set(Role))
        problem = FieldProblem("role", f"'{wrong}' is not one of {', '.join(Role)}")
        raise InvalidInput("There is no such role", problems=[problem]) from None


def _typed(asked: bool) -> str | None:
    # Not an option's value: other people of the machine see those.
    if not asked:
        return None
    typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return typed


def _introduce(made: "NewPerson", what: str, *, as_json: bool) -> None:
    if as_json:
        output.emit(made)
        return
    _tell(made.person, what, as_json=False)
    if made.password is not None:
        output.out().print(f"  password, told this once: {made.password}", markup=False)


def _tell(person: "Person", what: str, *, as_json: bool) -> None:
    if as_json:
        output.emit(person)
    else:
        output.out().print(f"[green]✓[/] [bold]{person.name}[/] {what}")
