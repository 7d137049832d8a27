"""Shortens what JAX's C++ says on stderr when it aborts because another process is gone.

`python -S last_words.py LINE` copies its standard input to stderr. From JAX's fatal message on it
writes LINE instead, once, and nothing more: what follows is a stack trace of C++. It stands alone
and is quick to start, since a training on many hosts waits for it.
"""

import re
import signal
import sys

_SIGTERM = re.compile(rb"^W\d+ .*preemption_notifier")  # the training says so itself
_FATAL = re.compile(rb"^F\d+ .*JAX distributed service")
_BEFORE_IT = re.compile(
    rb"^[EW]\d+ .*(coordination_service|preemption_sync_manager)"
)  # it follows as a rule, not always


def main(line: str) -> None:
    """Copies until the other end closes; signals are for the training."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    last = line.encode() + b"\n"
    held: list[bytes] = []
    is_over = False
    for text in iter(sys.stdin.buffer.readline, b""):
        if is_over or _SIGTERM.match(text):
            continue
        is_over = text == last or bool(_FATAL.match(text))
        if not is_over and (held or _BEFORE_IT.match(text)):
            held.append(text)
            continue
        sys.stderr.buffer.write(last if is_over else text)
        sys.stderr.buffer.flush()
    sys.stderr.buffer.write(b"" if is_over else b"".join(held))


if __name__ == "__main__":
    main(sys.argv[1])
