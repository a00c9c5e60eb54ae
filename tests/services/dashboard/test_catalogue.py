"""Texts: every key there is in every language, and no words of pages elsewhere."""

import re
from pathlib import Path
from string import Formatter

import pytest
from jinja2 import Environment, nodes

from foodex.services.dashboard import catalogue
from foodex.services.dashboard.catalogue import DEFAULT, LANGUAGES, chosen, read, texts_of

HOUSE = Path(catalogue.__file__).parent
TEMPLATES = sorted((HOUSE / "templates").rglob("*.html"))
ENDINGS = ("one", "few", "many")
OTHERS = sorted(set(LANGUAGES) - {DEFAULT})

# What is a name or a sign in any language.
NO_WORDS = re.compile(
    r"FoodEx|Europe/Helsinki|demo_city|Ctrl|Enter|POST|GET|UTC|JSON|CSV|SQL|API|curl|px|https?://\S+|&\w+;|\W|\d|_"
)


def roots(keys: "dict[str, str] | list[str]") -> set[str]:
    """Keys without the endings that numbers choose."""
    return {re.sub(r"\.(one|few|many)$", "", key) for key in keys}


@pytest.mark.parametrize("language", OTHERS)
def test_languages_have_the_same_keys(language: str) -> None:
    ours, theirs = dict(read(DEFAULT)), dict(read(language))
    assert len(ours) > 300
    assert sorted(roots(ours) ^ roots(theirs)) == []


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_texts_that_numbers_choose_have_every_form(language: str) -> None:
    wanted = {"en": {"one", "many"}, "ru": {"one", "few", "many"}}[language]
    texts = read(language)
    wrong = []
    for key in sorted(roots(dict(texts)) - set(texts)):
        found = {one.rpartition(".")[2] for one in texts if one.rpartition(".")[0] == key}
        if found <= set(ENDINGS) and found != wanted:
            wrong.append(key)
    assert wrong == []


@pytest.mark.parametrize("language", OTHERS)
def test_languages_fill_in_the_same_names(language: str) -> None:
    ours, theirs = read(DEFAULT), read(language)
    names = {key: fields(text) for key, text in ours.items()}
    wrong = []
    for key, text in theirs.items():
        like = names.get(key, names.get(key.removesuffix(".few") + ".many"))
        # One may be told in words: the text of one need not have all that the text of many has.
        if not key.endswith(".one") and fields(text) != like:
            wrong.append(key)
    assert wrong == []


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_no_text_is_markup_or_frayed(language: str) -> None:
    markup = re.compile(r"</?[a-z]+[ >]")
    wrong = [
        key for key, text in read(language).items() if text.strip() != text or markup.search(text)
    ]
    assert wrong == []


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def used_in_templates() -> dict[str, str]:
    """Keys, and beginnings of keys that end with `.`, `_` or `-`, by where they are used."""
    found = {}
    for path in TEMPLATES:
        for call in Environment().parse(path.read_text()).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "t" and call.args:
                for key in keys_of(call.args[0]):
                    found[key] = f"{path.name}:{call.lineno}"
    return found


def keys_of(node: nodes.Node) -> list[str]:
    match node:
        case nodes.Const(value=str() as value):
            return [value]
        case nodes.CondExpr(expr1=first, expr2=second):
            return keys_of(first) + (keys_of(second) if second else [])
        case nodes.Concat(nodes=[first, *_]) | nodes.Add(left=first):
            return [key + "*" for key in keys_of(first)]
        case _:
            return []


def used_in_python() -> dict[str, str]:
    found = {}
    for path in sorted(HOUSE.rglob("*.py")):
        for key in re.findall(r'(?<![\w.])(?:t|texts?)\(\s*f?"([a-z_]+\.[^"]*)"', path.read_text()):
            plain, curly, _ = key.partition("{")
            found[plain + ("*" if curly else "")] = path.name
    return found


def test_every_key_that_is_used_is_there() -> None:
    used = used_in_templates() | used_in_python()
    assert len(used) > 200
    texts = read(DEFAULT)
    keys = set(texts) | roots(dict(texts))
    missing = [
        f"{where}: {key}"
        for key, where in used.items()
        if not (any(one.startswith(key[:-1]) for one in keys) if key.endswith("*") else key in keys)
    ]
    assert missing == []


def test_no_words_of_pages_stand_outside_the_texts() -> None:
    """Words between tags, or in attributes that people read."""
    found = []
    for path in TEMPLATES:
        text = re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.S)
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", " ", text, flags=re.S)
        text = re.sub(r"<(script|code|pre)\b.*?</\1>", " ", text, flags=re.S)
        told = re.findall(r'(?:title|aria-label|placeholder|alt|data-confirm)="([^"]*)"', text)
        told += re.sub(r"<[^>]*>", "\n", text).splitlines()
        # Styles and attributes that a macro puts together are no words.
        told = [re.sub(r'[a-z-]+: +%;?|[a-z-]+="[^"]*"', " ", one) for one in told]
        words = (one for one in told if re.search(r"[^\W\d_]{2,}", NO_WORDS.sub(" ", one)))
        found += [f"{path.name}: {one.strip()}" for one in words]
    assert found == []


def test_the_heuristics_find_what_they_are_for() -> None:
    tree = Environment().parse('{{ t("a.b" if x else "c.d") }}{{ t("e." ~ f) }}')
    calls = list(tree.find_all(nodes.Call))
    assert [keys_of(call.args[0]) for call in calls] == [["a.b", "c.d"], ["e.*"]]


def test_languages_are_chosen() -> None:
    assert chosen("ru", "en") == "ru"
    assert chosen(None, "de-DE,ru;q=0.8,en;q=0.5") == "ru"
    assert chosen("xx", "de") == DEFAULT
    texts = texts_of("ru")
    forms = [texts("admin.ledger_fails", n=n).split()[-1] for n in (1, 2, 5, 11, 21, 104)]
    assert [one.rstrip(".")[-1] for one in forms] == ["е", "я", "й", "й", "е", "я"]
