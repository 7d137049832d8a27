"""Attempts to write what is only for the eyes: a failure ends no search and is said once."""

import queue
import re
import threading
import time
from collections.abc import Callable

from xfernas_jax.cli.progress import console

_PAUSE_SECONDS = 60.0  # after a failure of what writes in the background
_CLOSE_SECONDS = 20.0  # that a process waits at its end


class Attempts:
    """Calls what writes until one fails, which is said once."""

    def __init__(self, failed: str) -> None:
        """Takes what a failure means, in words."""
        self._failed = failed
        self._has_failed = False

    def __call__(self, write: Callable[[], object]) -> None:
        """Calls it, if none has failed."""
        if self._has_failed:
            return
        try:
            write()
        except Exception as error:  # whatever it is, the search is worth more
            self._say(error)

    def close(self) -> None:
        """Waits for what is not written yet."""
        return None

    def _say(self, error: Exception) -> None:
        if not self._has_failed:
            console.print(f"{self._failed} ({one_line(error)}).")
        self._has_failed = True


class BackgroundAttempts(Attempts):
    """Calls what writes in a thread of its own, in order, so that nobody waits for a server.

    After a failure, said once, what comes within a minute is left out; who comes later, with the
    whole record, finds and mends it.
    """

    def __init__(self, failed: str) -> None:
        super().__init__(failed)
        self._writes = queue.SimpleQueue[Callable[[], object] | None]()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __call__(self, write: Callable[[], object]) -> None:
        """Has it called in the order of calls; returns at once."""
        self._writes.put(write)

    def close(self) -> None:
        """Waits a while for what is not written yet, and lets go."""
        self._writes.put(None)
        self._thread.join(_CLOSE_SECONDS)
        if self._thread.is_alive():
            self._say(TimeoutError(f"not done in {_CLOSE_SECONDS:.0f} s"))

    def _work(self) -> None:
        resumes = 0.0
        while (write := self._writes.get()) is not None:
            if time.monotonic() < resumes:
                continue
            try:
                write()
            except Exception as error:  # whatever it is, the search is worth more
                self._say(error)
                resumes = time.monotonic() + _PAUSE_SECONDS


def one_line(error: BaseException) -> str:
    """Returns kind and message of an error: short, without line breaks and without passwords."""
    return f"{without_passwords(' '.join(f'{type(error).__name__}: {error}'.split())):.200}"


def without_passwords(text: str) -> str:
    """Returns a text with the passwords in its URLs masked."""
    return re.sub(r"(://[^/@:\s]*):[^/@\s]*@", r"\1:***@", text)
