"""Exploring: the optimizer is asked by a schedule until the budget is spent."""

from collections.abc import Sequence

from xfernas_jax.history.record import Evaluation, Job
from xfernas_jax.search.base import Optimizer, suggest
from xfernas_jax.search.desk import Desk, key_seed
from xfernas_jax.search.early_stop import EarlyStop
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.schedule import Ask, make_schedule
from xfernas_jax.search.seen import Seen, Suggestion


def explore(
    optimizer: Optimizer,
    desk: Desk,
    plan: SearchPlan,
    start: Seen,
    early_stop: EarlyStop | None = None,
) -> list[Evaluation]:
    """Evaluates until the budget is spent or the space has no more.

    Everything random follows from (seed, question) or (seed, architecture), so a search that is
    started again goes on from its record. What broke under other neutral options is tried again
    first.

    Args:
      optimizer: asked.
      desk: where jobs go.
      plan: of the search.
      start: what is known before: the space, the goal and earlier studies of this very task.
      early_stop: ends trainings early; a question's jobs are judged by what it was shown.

    Returns:
      The evaluations of the search, by number.
    """
    schedule = make_schedule(plan.schedule, plan.budget_evaluations, plan.batch_size)
    done = desk.recorded("search")
    asked: set[int] = set()
    is_exhausted = False
    for broken in [e for e in done if e.status == "broken"]:
        if not desk.waits_for_other_options(broken):
            done.remove(broken)
            desk.submit(broken.job)
    while True:
        while not is_exhausted and (plan.clock is None or plan.clock.has_room(done)):
            ask = schedule.ask(done, desk.running, asked, desk.num_free)
            if ask is None:
                break
            asked.update(ask.numbers)
            shown = [*start.evaluations, *ask.seen]
            stop = early_stop and early_stop.stopper(shown, plan.num_finalists)
            jobs = _jobs(optimizer, desk, plan, start, ask, done)
            is_exhausted = jobs is None
            for job in jobs or ():
                num_before = len(done) + len(desk.running)
                clock = plan.clock
                desk.submit(job, stop if clock is None else clock.stopper(stop, num_before))
        if not desk.running:
            return sorted(done, key=lambda e: e.number)
        evaluation, variables = desk.next()
        done.append(evaluation)
        best = start.goal.best(sorted(done, key=lambda e: e.number), plan.num_finalists)
        desk.append_among(evaluation, variables, best)


def _suggestions(optimizer: Optimizer, plan: SearchPlan, seen: Seen, ask: Ask) -> list[Suggestion]:
    """Returns what the plan names first, as far as it is new, and then what is suggested.

    Before all that comes one suggestion where the plan says so.
    """
    batch = seen.batch()
    if plan.suggests_first and not ask.seen and not seen.pending:
        for suggestion in suggest(optimizer, seen, plan.seed, ask.number, 1):
            batch.add(suggestion)
    for genotype in plan.first:
        if len(batch) < ask.count:
            batch.add(Suggestion(genotype))
    first, missing = batch.suggestions, ask.count - len(batch)
    if not missing:
        return first
    pending = [*seen.pending, *(s.genotype for s in first)]
    return [*first, *suggest(optimizer, seen.then((), pending), plan.seed, ask.number, missing)]


def _jobs(
    optimizer: Optimizer,
    desk: Desk,
    plan: SearchPlan,
    start: Seen,
    ask: Ask,
    done: Sequence[Evaluation],
) -> list[Job] | None:
    """Returns the jobs of a question; None where the optimizer knows of no more."""
    seen = start.then(ask.seen, [job.genotype for job in desk.running.values()])
    suggestions = _suggestions(optimizer, plan, seen, ask)
    if not suggestions:
        return None
    known = {evaluation.key for evaluation in done}
    new = [(desk.space.key(s.genotype), s) for s in suggestions]
    new = [(key, suggestion) for key, suggestion in new if key not in known]
    return [
        Job(
            number,
            suggestion.genotype,
            key,
            key_seed(key, plan.seed),
            after=len(ask.seen),
            predicted=suggestion.predicted,
        )
        for number, (key, suggestion) in zip(ask.numbers, new, strict=False)
    ]
