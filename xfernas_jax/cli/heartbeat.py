"""A line now and then of what runs, where there is no bar to see it."""

import threading
from collections.abc import Callable

FIRST_SECONDS, MOST_SECONDS = 20.0, 300.0
"""Of silence before a line; each further one in a row waits twice as long, up to the latter."""


class Heartbeat:
    """Breaks a long silence, as while a large network compiles; a context manager."""

    def __init__(
        self,
        words: Callable[[], str],
        say: Callable[[str], None],
        first_seconds: float = FIRST_SECONDS,
    ) -> None:
        """Takes what to say.

        Args:
          words: returns what runs now, empty for nothing; called in another thread.
          say: prints a line.
          first_seconds: of silence before the first line.
        """
        self._words, self._say, self._first = words, say, first_seconds
        self._woken, self._is_over = threading.Event(), False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Heartbeat":
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join()

    def rest(self) -> None:
        """Waits anew from now on: another line was printed, or something began."""
        self._woken.set()

    def _beat(self) -> None:
        seconds = self._first
        while not self._is_over:
            if self._woken.wait(seconds):
                self._woken.clear()
                seconds = self._first
                continue
            if words := self._words():
                self._say(words)
            seconds = min(2.0 * seconds, max(MOST_SECONDS, self._first))
