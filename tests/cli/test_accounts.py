"""People and money at the command line, on a folder where nothing runs."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import Answer, CommandLine, command_line

pytestmark = pytest.mark.xdist_group("cli")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("accounts")) as found:
        yield found


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory, run: CommandLine) -> Path:
    """A folder with two people in it."""
    state = tmp_path_factory.mktemp("accounts") / "state"
    for name, role in (("root", "admin"), ("ada", "client")):
        made = run("people", "create", name, "--role", role, "--json", state=state)
        assert made.code == 0, made.err
        assert made.json["password"]
    return state


def refused(answer: Answer, *said: str) -> None:
    assert answer.code == 2, (answer.out, answer.err)
    assert "Traceback" not in answer.err
    for words in said:
        assert words in answer.err


def test_people_are_listed_changed_and_shut_out(run: CommandLine, state: Path) -> None:
    listed = run("people", "list", "--json", state=state).json
    assert [(p["name"], p["roles"]) for p in listed] == [("ada", ["client"]), ("root", ["admin"])]
    changed = run("people", "roles", "ada", "client", "operator", state=state)
    assert (changed.code, "client operator" in changed.out) == (0, True)
    assert run("people", "block", "Ada", "--json", state=state).json["blocked_at"]
    assert run("people", "unblock", "ada", "--json", state=state).json["blocked_at"] is None
    given = run("people", "password", "ada", state=state)
    assert "told this once" in given.out
    refused(run("people", "block", "root", state=state), "last admin")
    refused(run("people", "create", "ada", "-r", "client", state=state), "taken")
    refused(run("people", "create", "cleo", "-r", "king", state=state), "'king'", "operator")
    refused(run("people", "create", "-", "-r", "client", state=state), "name")
    refused(run("people", "block", "nobody-here", state=state), "nobody of that name")


def test_money_is_added_once_under_a_reference(run: CommandLine, state: Path) -> None:
    words = ("topup", "ada", "12.50", "--reference", "cash", "--note", "at the desk", "--json")
    first, again = run(*words, state=state), run(*words, state=state)
    assert first.code == 0, first.err
    assert (first.json["amount_minor"], first.json["who"]) == (1250, "system")
    assert again.json == first.json
    shown = run("topup", "ada", "0.07", state=state)
    assert "0.07 EUR added to ada, which has 12.57 EUR" in shown.out
    for amount in ("0.001", "1,50", "lots", "1e3", "99999999999999"):
        refused(run("topup", "ada", amount, state=state), "amount")
    refused(run("topup", "ada", "0", state=state), "amount_minor")
    refused(run("topup", "nobody", "1", state=state), "no account")


def test_the_ledger_holds_until_somebody_lays_hands_on_it(run: CommandLine, state: Path) -> None:
    good = run("ledger", "verify", "--json", state=state)
    assert (good.code, good.json["holds"], good.json["differences"]) == (0, True, [])
    assert good.json["accounts"] == 2
    assert "holds" in run("ledger", "verify", state=state).out
    with sqlite3.connect(state / "foodex.db") as database:
        database.execute("UPDATE accounts_balances SET balance_minor = 5 WHERE account_id = 'root'")
    database.close()
    bad = run("ledger", "verify", state=state)
    assert (bad.code, "does not hold" in bad.out, "root" in bad.out) == (1, True, True)
    told = run("ledger", "verify", "--json", state=state)
    assert (told.code, told.json["holds"]) == (1, False)
    assert told.json["differences"][0]["fault"] == "balance-is-not-the-sum"


def test_keys_that_sign_are_made_and_changed(run: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "signing.json"
    assert "1 keys" in run("config", "signing-keys", file).out
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text()
    assert "2 keys" in run("config", "signing-keys", file).out
    assert file.read_text() != before
    file.write_text("{}")
    refused(run("config", "signing-keys", file), "signing.json")
