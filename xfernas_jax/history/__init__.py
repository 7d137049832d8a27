"""Histories: recorded evaluations, where they are kept, and which of them a search may use."""

from xfernas_jax.history.database import default_storage_url
from xfernas_jax.history.jsonl import HistoryHeader, read_header, read_jsonl, write_jsonl
from xfernas_jax.history.record import Evaluation, Purpose, Status, StudySpec, Task
from xfernas_jax.history.serialize import default_study_name, evaluation_key
from xfernas_jax.history.sources import (
    RecordedStudy,
    Source,
    bundled_histories,
    choose_studies,
    freeze_studies,
    recorded_file,
    recorded_studies,
    select_sources,
    target_observations,
    thaw_studies,
)
from xfernas_jax.history.storage import Storage, StudySummary, append_all, study_summaries

__all__ = [
    "Evaluation",
    "HistoryHeader",
    "Purpose",
    "RecordedStudy",
    "Source",
    "Status",
    "Storage",
    "StudySpec",
    "StudySummary",
    "Task",
    "append_all",
    "bundled_histories",
    "choose_studies",
    "default_storage_url",
    "default_study_name",
    "evaluation_key",
    "freeze_studies",
    "read_header",
    "read_jsonl",
    "recorded_file",
    "recorded_studies",
    "select_sources",
    "study_summaries",
    "target_observations",
    "thaw_studies",
    "write_jsonl",
]
