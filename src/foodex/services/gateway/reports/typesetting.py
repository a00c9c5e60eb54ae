"""The process that sets one PDF: a report's view as JSON in, the document out."""

import sys
import tempfile
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Final

import typst

_TEMPLATES: Final = Path(__file__).parent / "templates"
_FONTS: Final = tuple(f"SourceSansPro-{name}.ttf" for name in ("Regular", "It", "Semibold", "Bold"))


def typeset(document: bytes, made_at: datetime) -> bytes:
    """The PDF of a report's view (JSON), dated `made_at`; blocks for some tenths of a second."""
    files = resources.files("font_source_sans_pro") / "files"
    with tempfile.TemporaryDirectory() as folder:
        # The package has each face twice, and which of them is taken must not be left to chance.
        for name in _FONTS:
            (Path(folder) / name).write_bytes((files / name).read_bytes())
        pdf = typst.compile(
            _TEMPLATES / "report.typ",
            root=_TEMPLATES,
            # Fonts of the machine only stand in for signs that ours lack.
            font_paths=typst.Fonts(font_paths=[folder]),
            sys_inputs={"report": document.decode()},
            timestamp=made_at,
        )
    assert isinstance(pdf, bytes)
    return pdf


if __name__ == "__main__":
    sys.stdout.buffer.write(
        typeset(sys.stdin.buffer.read(), datetime.fromtimestamp(int(sys.argv[1]), UTC))
    )
