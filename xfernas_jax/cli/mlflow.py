"""MLflow tracking: from --mlflow_uri to where runs are kept."""

import contextlib
import logging
import os
import pathlib
import re
import urllib.parse
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from xfernas_jax.cli import flags
from xfernas_jax.cli.attempts import one_line, without_passwords
from xfernas_jax.cli.mlflow_runs import StudyRuns, TrainingRuns
from xfernas_jax.errors import FlagError, MissingExtraError
from xfernas_jax.history.record import StudySpec

_DATABASE = "mlflow.db"  # in a folder
_SETTINGS = {  # where the user set none: nobody waits long for a server, nothing is told to others
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def opened() -> "Server | None":
    """Returns what --mlflow_uri names, None without it; called before anything is evaluated.

    Raises:
      MissingExtraError: MLflow is not installed.
      FlagError: it cannot be reached or written.
    """
    uri = flags.MLFLOW_URI.value
    if uri is None:
        return None
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):  # which tell of each table that they make
        logging.getLogger(name).setLevel(logging.ERROR)
    with _quiet():
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise MissingExtraError(
                "--mlflow_uri needs MLflow; run `make setup EXTRAS=mlflow`, or "
                "`pip install 'xfernas_jax[mlflow]'`."
            ) from error
        try:
            client = MlflowClient(_tracking_uri(uri))
            client.search_experiments(max_results=1)
        except Exception as error:  # of MLflow, SQLAlchemy, requests, the system
            raise FlagError(
                f"--mlflow_uri={without_passwords(uri)} cannot be used ({one_line(error)}); give a "
                "folder, sqlite:///FILE or the address of a server that runs."
            ) from error
    return Server(client)


class Server:
    """Where runs are kept: a database, a folder or a server on the network."""

    def __init__(self, client: Any) -> None:
        """Takes an `mlflow.MlflowClient`."""
        self._client = client

    def study(self, spec: StudySpec, storage: str, budgets: Mapping[str, Any]) -> StudyRuns:
        """Returns the view of a study; nothing is asked for yet.

        Args:
          spec: of the study.
          storage: where it is recorded, so that two studies of one name are told apart.
          budgets: how much is evaluated, which may change.
        """
        return StudyRuns(self._client, spec, without_passwords(storage), budgets)

    def trainings(self, experiment: str) -> TrainingRuns:
        """Returns the view of trainings that belong to no study."""
        return TrainingRuns(self._client, experiment)


def _tracking_uri(uri: str) -> str:
    """Returns the URI for MLflow; a folder holds an SQLite database, as MLflow's own default."""
    if re.match(r"[a-z][a-z0-9+.-]*:", uri) or uri == "databricks":
        return uri
    folder = pathlib.Path(uri).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{urllib.parse.quote(str(folder / _DATABASE))}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leaves out warnings, which are MLflow's and none that a user could heed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
