"""A report as PDF, set by Typst in a process of its own that can be ended."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from typing import Final

import msgspec

from foodex.core.errors import InternalError, Unavailable
from foodex.domain.reports import Report
from foodex.services.gateway.reports.view import view

TIMEOUT_SECONDS: Final = 60.0


async def render_pdf(report: Report, *, timeout_seconds: float = TIMEOUT_SECONDS) -> bytes:
    """The document; the same report gives the same bytes.

    Raises:
        Unavailable: it took longer than `timeout_seconds`.
        InternalError: it could not be set.
    """
    document = await asyncio.to_thread(lambda: msgspec.json.encode(view(report)))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(
            "-m",
            "foodex.services.gateway.reports.typesetting",
            str(int(report.made_at.timestamp())),
        ),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            pdf, complaint = await process.communicate(document)
    except TimeoutError:
        raise Unavailable("Setting the report took too long") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not pdf.startswith(b"%PDF"):
        raise InternalError(f"The report could not be set: {complaint.decode()[-500:]}")
    return pdf
