"""What every schedule must keep."""

from xfernas_jax.history.record import Evaluation, Job, Result
from xfernas_jax.search.schedule import Schedule


class ScheduleContract:
    """Inherit it and write `make`; every number is evaluated once, whatever finishes first."""

    def make(self, budget: int, batch_size: int) -> Schedule:
        """Returns a schedule of these sizes."""
        raise NotImplementedError

    def run(self, done: list[Evaluation], stop_after: int, num_workers: int = 3) -> list[int]:
        """Runs jobs, the latest first, until `stop_after` are done; returns the numbers asked."""
        schedule, running, asked = self.make(11, 4), list[int](), list[int]()
        while len(done) < stop_after:
            while ask := schedule.ask(done, running, asked, num_workers - len(running)):
                asked += ask.numbers
                running += ask.numbers
                assert {e.number for e in ask.seen} <= {e.number for e in done}
                assert ask.count >= len(ask.numbers) >= 1
            if not running:
                break
            number = running.pop()
            result = Result("complete", float(number))
            done.append(Evaluation(Job(number, number, str(number), 0), result, "r"))
        return asked

    def test_every_number_is_asked_for_once(self) -> None:
        done: list[Evaluation] = []
        asked = self.run(done, stop_after=100)
        assert sorted(asked) == sorted(e.number for e in done) == list(range(11))

    def test_a_search_that_is_started_again_asks_for_the_rest(self) -> None:
        for kept in range(12):
            done: list[Evaluation] = []
            self.run(done, stop_after=kept)
            asked = self.run(done, stop_after=100)
            assert sorted(e.number for e in done) == list(range(11))
            assert len(asked) == 11 - kept
