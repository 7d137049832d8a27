"""Histories: recorded evaluations, where they are kept, and which of them a search may use."""

from xfernas_jax.history.database import default_storage_url
from xfernas_jax.history.jsonl import HistoryHeader, read_header, read_jsonl, write_jsonl
from xfernas_jax.history.memory import MemoryRecord
from xfernas_jax.history.metric import ACCURACY, SCORE, Metric
from xfernas_jax.history.record import (
    Evaluation,
    Job,
    Purpose,
    Record,
    Result,
    Status,
    StudySpec,
    Task,
    current,
)
from xfernas_jax.history.serialize import default_study_name, evaluation_key
from xfernas_jax.history.sources import (
    NO_SOURCE,
    RecordedStudy,
    Source,
    bundled_histories,
    bundled_last_trainings,
    choose_studies,
    freeze_studies,
    last_trainings,
    recorded_file,
    recorded_studies,
    select_sources,
    target_observations,
    thaw_studies,
)
from xfernas_jax.history.storage import Storage, StudyRecord, append_all, study_summaries
from xfernas_jax.history.summary import StudySummary

__all__ = [
    "ACCURACY",
    "NO_SOURCE",
    "SCORE",
    "Evaluation",
    "HistoryHeader",
    "Job",
    "MemoryRecord",
    "Metric",
    "Purpose",
    "Record",
    "RecordedStudy",
    "Result",
    "Source",
    "Status",
    "Storage",
    "StudyRecord",
    "StudySpec",
    "StudySummary",
    "Task",
    "append_all",
    "bundled_histories",
    "bundled_last_trainings",
    "choose_studies",
    "current",
    "default_storage_url",
    "default_study_name",
    "evaluation_key",
    "freeze_studies",
    "last_trainings",
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
