"""How many epochs of a training fit into the time that it may take."""

import dataclasses
import math
import time


@dataclasses.dataclass(frozen=True)
class Pace:
    """Revises the length of a training after each epoch, so that it ends in time; see `Trainer.fit`.

    The learning rate falls to its end over the epochs that are left, however many: a training
    that runs late is a shorter training, not a broken one.

    Attributes:
      end: `time.monotonic()` at which it has to be over.
      begun: the moment at which its first step could begin, everything compiled.
      most: epochs of the recipe.
    """

    end: float
    begun: float
    most: int

    def __call__(self, done: int, planned: int) -> int:
        """Returns the epochs after which to end, from the mean seconds of those that are done."""
        del planned
        now = time.monotonic()
        each = (now - self.begun) / done
        fitting = math.floor((self.end - now) / each) if each > 0.0 else self.most
        return max(done, min(self.most, done + fitting))
