"""Settings of the services and of what they do."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from foodex.core.settings.base import Count, Group, Positive


class CollectorSettings(Group):
    url: str = Field("", description="Address of the collector; empty: in this process.")
    log_file: str = Field("{state}/loads.jsonl", description="Append-only log of finished loads.")
    work_folder: str = Field("{state}/collector", description="Where fetched files wait for loads.")
    instance: str = Field(
        "", description="This collector's own name among several; empty: the machine's name."
    )
    loads_at_once: Count = Field(1, description="Loads that run side by side.")
    lease_seconds: Positive = Field(
        30.0, description="A load whose collector is silent for so long is taken over by another."
    )
    batch_rows: Count = Field(100_000, description="Rows read, checked and written at a time.")
    max_file_bytes: Count = Field(20 << 30, description="Largest file read, packed or unpacked.")
    upload_days: Count = Field(
        7, description="Days that files sent over the API are kept; the rows loaded stay."
    )
    max_line_bytes: Count = Field(8 << 20, description="Longest row of a file.")
    max_columns: Count = Field(2_000, description="Most columns of a file.")
    allowed_folders: tuple[str, ...] = Field(
        (), description="Folders whose files may be named over the API; others must be uploaded."
    )
    http_timeout_seconds: Positive = Field(30.0, description="Longest silence of an HTTP source.")
    http_tries: Count = Field(6, description="Tries for one page of an HTTP source.")
    http_max_bytes: Count = Field(2 << 30, description="Most an HTTP source may send for one load.")
    http_max_pages: Count = Field(100_000, description="Most pages of an HTTP source.")
    http_allow_private: bool = Field(
        False, description="Let HTTP sources be on private addresses or on this machine."
    )
    sources: Mapping[str, Mapping[str, Any]] = Field(
        {}, description="Sources by name: kind, location, and optionally format, mapping, paging."
    )


class MlSettings(Group):
    url: str = Field("", description="Address of the ml service; empty: in this process.")
    work_folder: str = Field("{state}/work", description="Where jobs keep their working files.")
    default_model: str = Field(
        "", description="Model that answers when none is named; empty: the last one promoted."
    )
    history_days: Count = Field(
        60, description="Days of deliveries that the live history is rebuilt from at a start."
    )
    jobs_at_once: Count = Field(1, description="Trainings and evaluations that run side by side.")
    job_threads: Annotated[int, Field(ge=0)] = Field(
        0, description="Threads of a training process; 0: all cores."
    )
    job_nice: Annotated[int, Field(ge=0, le=19)] = Field(
        5, description="How far a training process steps back for others (Unix niceness)."
    )
    job_seconds: Positive = Field(6 * 3600.0, description="Longest a job may take.")
    job_log_bytes: Count = Field(1 << 16, description="Most of a job's own output that is logged.")
    forecast_orders: Count = Field(10_000, description="Most orders in one request for forecasts.")
    observe_deliveries: Count = Field(10_000, description="Most deliveries told of in one request.")
    refresh_seconds: Positive = Field(
        86_400.0,
        description="How often the live history is rebuilt from storage; shorter where several "
        "processes serve, as each is told of a part of the deliveries only.",
    )
    follow_seconds: Positive = Field(
        5.0, description="How soon a version promoted by another process answers here too."
    )


class DashboardSettings(Group):
    gateway_url: str = Field(
        "",
        description="Address of the gateway, for a dashboard in a process of its own; the gateway "
        "must have it among its `http.trusted_proxies`.",
    )


class JobsSettings(Group):
    url: str = Field("", description="Address of the jobs service; empty: in this process.")
    at_once: Count = Field(2, description="Background jobs that a worker does side by side.")
    work_folder: str = Field("{state}/jobs", description="Where workers keep their working files.")
    lease_seconds: Positive = Field(
        15.0, description="A job whose worker is silent for so long is taken up by another."
    )
    beat_seconds: Positive = Field(
        1.0,
        description="How often a worker says that it lives and how far its jobs are; cancelled "
        "jobs stop as soon as that.",
    )
    sweep_seconds: Positive = Field(
        2.0, description="How often a worker looks for jobs that were left behind."
    )
    unpublished_seconds: Positive = Field(
        3.0, description="A waiting job whose message was not sent within so long is sent again."
    )
    lost_seconds: Positive = Field(
        60.0,
        description="A waiting job whose message is not in the queue after so long is sent again.",
    )
    acceptance_seconds: Positive = Field(
        60.0,
        description="A job whose acceptance broke off before its price was set aside is given up "
        "after so long.",
    )
    retry_seconds: Positive = Field(
        1.0, description="Wait before a job is tried again; doubled each time, give or take half."
    )
    retry_most_seconds: Positive = Field(300.0, description="Longest wait before another try.")
    child_nice: Annotated[int, Field(ge=0, le=19)] = Field(
        5, description="How far heavy work steps back for others (Unix niceness)."
    )
    child_log_bytes: Count = Field(
        1 << 16, description="Most of a job's own output that is logged."
    )
    parameter_bytes: Count = Field(
        1 << 18, description="Most bytes of a job's parameters; more belongs into an object."
    )
    page_rows: Count = Field(1_000, description="Most jobs in one page.")
    link_seconds: Positive = Field(3600.0, description="How long a link to a file is good for.")
    file_days: Count = Field(
        90, description="Days that the files of jobs are kept: answers, reports, rejected rows."
    )


class BatchesSettings(Group):
    max_file_bytes: Count = Field(
        2 << 30, description="Largest file of orders taken, packed or unpacked."
    )
    file_days: Count = Field(7, description="Days that files of orders are kept.")
    rows_at_once: Count = Field(7_168, description="Orders read, forecast and written at a time.")
    max_seconds: Positive = Field(4 * 3600.0, description="Longest a batch prediction may take.")


class PromiseSettings(Group):
    quantile: float = Field(0.75, description="Quantile of the forecast that is promised.")
    earliest_quantile: float = Field(0.25, description="Quantile of the early end of the window.")
    buffer_minutes: float = Field(0.0, description="Minutes added to the quantile.")
    round_to_minutes: Count = Field(5, description="The promise is rounded up to a multiple.")
    floor_minutes: Annotated[int, Field(ge=0)] = Field(10, description="Shortest promise.")
    ceiling_minutes: Count = Field(120, description="Longest promise.")


class CitySettings(Group):
    demonstration: bool = Field(
        True, description="On an empty system, simulate a city so that there is something to see."
    )
    days: Count = Field(28, description="Days of simulated history.")
    orders_per_day: Count = Field(700, description="Mean orders a day in the simulated city.")
    seed: int = Field(7, description="Seed of the simulation; the same seed, the same city.")
