"""Reports as documents: whole, alone, safe, and the same to the byte."""

import asyncio
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import msgspec
import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foodex.core.errors import Unavailable
from foodex.domain.reports import (
    Better,
    Chart,
    ChartKind,
    Column,
    Figure,
    Origin,
    Period,
    Report,
    Section,
    Series,
    Table,
    Unit,
)
from foodex.services.gateway.reports.html import render_html
from foodex.services.gateway.reports.pdf import render_pdf
from foodex.services.gateway.reports.svg import draw, ticks

EVIL = [
    '<script>alert(1)</script>"><img src=x onerror=alert(1)>',
    '#read("/etc/passwd")',
    "$x^2$ *bold* `raw` #panic()",
    '=HYPERLINK("http","x")',
    "\\u{41} // comment",
]


def charts(label: str = "18") -> tuple[Chart, ...]:
    values = (0.25, None, 0.75)
    return tuple(
        Chart(
            kind=kind,
            title=f"A chart of {kind}",
            says="From a quarter to three quarters.",
            labels=(label, "19", "20"),
            series=(Series(name="one", values=values), Series(name=label, values=values)),
            unit=Unit.SHARE,
            mark=0.5,
            mark_name="aim",
            value_title="share",
            label_title="hour",
            better=Better.LOWER,
        )
        for kind in ChartKind
    )


def report(text: str = "Friday evenings are worst.") -> Report:
    return Report(
        title=f"Title: {text}",
        subtitle=text,
        period=Period(
            since=datetime(2026, 11, 1, tzinfo=UTC), until=datetime(2026, 11, 15, tzinfo=UTC)
        ),
        made_at=datetime(2026, 11, 21, 12, 30, tzinfo=UTC),
        made_from=(Origin(name="Data set", value=text),),
        summary=(text, "83 of 100 came on time."),
        figures=(
            Figure(
                name="On time",
                value=0.834,
                unit=Unit.SHARE,
                other=0.8,
                versus="before",
                better=Better.HIGHER,
                low=0.81,
                high=0.85,
            ),
            Figure(name=text, value=None, unit=Unit.MINUTES),
        ),
        sections=(
            Section(
                title=text,
                text=(text,),
                charts=charts(text),
                tables=(
                    Table(
                        title="Stores",
                        columns=(Column(title=text), Column(title="Orders", unit=Unit.COUNT)),
                        rows=((text, 1234), ("Пицца", None)),
                        note=text,
                    ),
                ),
            ),
        ),
        method=(text,),
    )


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data.strip())


def text_of(pdf: bytes) -> str:
    pages = pypdf.PdfReader(io.BytesIO(pdf)).pages
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pages))


def test_a_page_stands_alone() -> None:
    page = render_html(report())
    assert b"http:" not in page
    assert b"https:" not in page
    assert not re.search(rb"@import|url\(|//[a-z]", page)
    for tag, attributes in Page(page).tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "img", "form", "base")
        assert not {name for name in attributes if name.startswith("on")}
        assert not {"src", "href", "xlink:href", "srcset", "action"} & set(attributes)


def test_a_page_can_be_read_by_who_does_not_see_it() -> None:
    page = Page(render_html(report()))
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawings) == len(ChartKind)
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert "From a quarter to three quarters." in str(drawing["aria-label"])
    assert ("html", {"lang": "en"}) in page.tags
    scopes = [attributes.get("scope") for tag, attributes in page.tags if tag == "th"]
    assert scopes == ["col", "col", "row", "row"]
    assert "1,234" in page.said
    assert "83\u00a0%" in page.said
    headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings == ["h1", "h2", "h2"]


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_what_looks_like_markup_is_only_text(evil: str) -> None:
    page = Page(render_html(report(evil)))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in Page(render_html(report())).tags}
    assert evil in page.said


async def test_what_looks_like_markup_is_only_text_on_paper() -> None:
    together = " ".join(EVIL)
    said = text_of(await render_pdf(report(together)))
    for evil in EVIL:
        # Lines break inside words where they are long.
        assert re.sub(r"\s", "", evil) in re.sub(r"\s", "", said)
    assert "root:" not in said


async def test_a_pdf_says_the_same_as_the_page() -> None:
    pdf = await render_pdf(report())
    assert pdf.startswith(b"%PDF")
    said = text_of(pdf)
    for words in (
        "Friday evenings are worst.",
        "1 to 14 November 2026",
        "83 %",
        "before: 80 %",
        "1,234",
        "Пицца",
        "How this was made",
        "1 of 2",
        "aim",
    ):
        assert words in said, words
    read = pypdf.PdfReader(io.BytesIO(pdf))
    assert read.metadata is not None
    assert read.metadata.title == "Title: Friday evenings are worst."
    assert read.metadata.creation_date == datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
    fonts = set(re.findall(rb"/BaseFont ?/\w+\+([\w-]+)", pdf))
    assert fonts <= {b"SourceSansPro-Regular", b"SourceSansPro-Semibold", b"SourceSansPro-Bold"}


async def test_the_same_report_is_the_same_document_to_the_byte() -> None:
    assert render_html(report()) == render_html(report())
    first, second = await asyncio.gather(render_pdf(report()), render_pdf(report()))
    assert first == second
    other = replace(report(), made_at=datetime(2026, 11, 22, tzinfo=UTC))
    assert await render_pdf(other) != first


def test_a_report_kept_as_json_is_the_same_document_later() -> None:
    kept = msgspec.json.encode(report())
    again = msgspec.json.decode(kept, type=Report)
    assert again == report()
    assert render_html(again) == render_html(report())


async def test_a_pdf_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(Unavailable, match="too long"):
        await render_pdf(report(), timeout_seconds=0.001)


async def test_a_report_with_nothing_in_it_is_a_document_still() -> None:
    bare = Report(
        title="Nothing",
        subtitle="",
        made_at=datetime(2026, 11, 21, tzinfo=UTC),
        made_from=(),
        summary=(),
        figures=(),
        sections=(),
        method=(),
    )
    assert b"Nothing" in render_html(bare)
    assert "Nothing" in text_of(await render_pdf(bare))


numbers = st.none() | st.floats(-1e9, 1e9) | st.floats(0, 1)


@given(
    st.sampled_from(ChartKind),
    st.sampled_from(Unit),
    st.lists(st.text(max_size=60), max_size=30),
    st.integers(0, 4),
    st.none() | st.floats(-100, 100),
    st.data(),
)
def test_any_chart_is_a_drawing_that_can_be_read(
    kind: ChartKind,
    unit: Unit,
    labels: list[str],
    count: int,
    mark: float | None,
    data: st.DataObject,
) -> None:
    values = st.lists(numbers, min_size=len(labels), max_size=len(labels)).map(tuple)
    chart = Chart(
        kind=kind,
        title="t",
        says="s",
        labels=tuple(labels),
        series=tuple(Series(name=f"{n}<&", values=data.draw(values)) for n in range(count)),
        unit=unit,
        currency="EUR",
        mark=mark,
        mark_name="m" if mark is not None else "",
    )
    drawing = draw(chart)
    root = ET.fromstring(drawing)
    assert root.attrib["aria-label"] == "t. s"
    assert "nan" not in drawing.replace("sans", "").lower().split("aria-label")[0]
    assert draw(chart) == drawing


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_hold_all_values_between_them(low: float, width: float) -> None:
    high = low + width
    found = ticks(low, high)
    slack = (found[1] - found[0]) * 1e-6
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= 8
