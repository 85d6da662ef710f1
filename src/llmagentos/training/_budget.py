"""When a run ends, and the clock that turns a deadline into a number of steps."""

import time
from dataclasses import dataclass
from typing import Final

from llmagentos.encoder import Work
from llmagentos.training._ranks import Ranks

# Steps that are timed before `--minutes` becomes a number of steps, and the share of the time that they take
# at least: 20 steps of a static encoder are 3 s, and what else the machine did in those once ended a run of
# 10 minutes after 4.
_TIMED_STEPS: Final = 20
_TIMED_SHARE: Final = 0.03
# Of the steps; then their number is worked out again, for a machine is not as fast all the time: runs of 9.4
# minutes took 8.5 to 10.5, and a demo of 4 minutes 3.4 with half of the steps that it had time for.
_CORRECTED_AT: Final = (0.25, 0.5, 0.75, 0.9)
# The first steps warm caches and allocators up and are no measure of the rest.
_UNSETTLED_STEPS: Final = 5
# Of the last ones, which a correction goes by as well where fewer have been timed since: of 1,000 simulated
# runs of 60 steps of 2 s (log-normal, sigma 0.4) 154 ended more than 5% late without, 10 so.
_STEPS_KEPT: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """When a run ends: after a number of steps, or at a time.

    Attributes:
        steps: number of steps, or None.
        deadline: `time.monotonic()` at which the last step is to be done, or None. It is turned into
            a number of steps after 20 steps and 3% of the time, or when half of the time is over if
            that is earlier, and again after a quarter, half, three quarters and nine tenths of them.

    With neither, the run ends after `max_epochs`, and with a deadline at the latest then.

    Raises:
        ValueError: both are given.
    """

    steps: int | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.deadline is not None:
            raise ValueError(f"a run has steps or a deadline, got {self.steps} and {self.deadline}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """What went through the encoder since the last look.

    Attributes:
        texts: a second.
        tokens: of both views, with the special ones, a second.
        flops: floating point operations a second.
        padding: share of the computed slots that held no token, 0 to 1.
    """

    texts: float
    tokens: float
    flops: float
    padding: float


class Clock:
    """Seconds since the run began, the speed since the last look, and the time a step takes."""

    def __init__(self) -> None:
        self._start = self._looked = self._stepped = time.monotonic()
        self._texts = self._tokens = self._slots = 0
        self._flops = 0.0
        self._step_seconds: list[float] = []
        self._unsettled = _UNSETTLED_STEPS
        self._times = True

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._start

    def count(self, texts: int, work: Work) -> None:
        """A step is done: texts and work of all ranks."""
        now = time.monotonic()
        self._texts += texts
        self._tokens += work.tokens
        self._slots += work.slots
        self._flops += work.flops
        if self._times:
            self._step_seconds.append(now - self._stepped)
        self._stepped = now

    def speed(self) -> Speed:
        """Since the last look."""
        now = time.monotonic()
        seconds = max(now - self._looked, 1e-9)
        speed = Speed(
            texts=self._texts / seconds,
            tokens=self._tokens / seconds,
            flops=self._flops / seconds,
            padding=1 - self._tokens / max(self._slots, 1) if self._slots else 0.0,
        )
        self._looked, self._texts, self._tokens, self._slots, self._flops = now, 0, 0, 0, 0.0
        return speed

    def knows_the_speed(self, deadline: float) -> bool:
        """Whether it is time to turn the deadline into a number of steps."""
        now, num_steps = time.monotonic(), len(self._step_seconds)
        share = (now - self._start) / max(deadline - self._start, 1e-9)
        timed = num_steps >= _TIMED_STEPS and share >= _TIMED_SHARE
        return timed or (share >= 0.5 and num_steps > _UNSETTLED_STEPS) or now >= deadline

    def stop_timing(self) -> None:
        """The time a step takes does not matter."""
        self._times = False

    def time_anew(self) -> None:
        """Forget the steps that were timed but the last ones, all of them settled from now on."""
        self._step_seconds = self._settled()[-_STEPS_KEPT:]
        self._unsettled = 0

    def _settled(self) -> list[float]:
        return self._step_seconds[self._unsettled :] or self._step_seconds

    def steps_until(self, deadline: float, *, at_best: bool = False) -> int:
        """Steps left at the mean speed of the settled steps, or at the speed of the fastest one."""
        settled = self._settled()
        step_seconds = min(self._step_seconds, default=0.0) if at_best else sum(settled) / len(settled)
        return max(0, int((deadline - time.monotonic()) / max(step_seconds, 1e-9)))


class Plan:
    """How many steps a run has: a number, or a deadline, which becomes one that is corrected on the way.

    Args:
        total_steps: the number, or with a deadline the most there can be.
        deadline: `time.monotonic()` at which the last step is to be done, or None.
        longest_run: most steps.
        clock: of the run.
        ranks: all do what the first one finds.
    """

    def __init__(
        self, total_steps: int, deadline: float | None, longest_run: int, clock: Clock, ranks: Ranks
    ) -> None:
        self.total_steps, self._deadline = total_steps, deadline
        self._longest_run, self._clock, self._ranks = longest_run, clock, ranks
        self._num_settled = 0
        if deadline is None:
            clock.stop_timing()

    @property
    def resolved(self) -> bool:
        """Whether there is a number, though it may be corrected."""
        return self._deadline is None or self._num_settled > 0

    def steps_at(self, step: int) -> int:
        """Steps in all, for the learning rate; while there is a deadline a guess, by the fastest so far."""
        if self._deadline is None or self.resolved or step == 0:
            return self.total_steps
        left = self._clock.steps_until(self._deadline, at_best=True)
        return min(self._ranks.from_first(step + 1 + left), self._longest_run)

    def settle(self, steps_done: int) -> bool:
        """Turn the deadline into a number if it is time to, or correct it; true for the first time."""
        if self._deadline is None or not self._is_time(self._deadline, steps_done):
            return False
        left = self._clock.steps_until(self._deadline)
        self.total_steps = min(self._ranks.from_first(steps_done + left), self._longest_run)
        self._num_settled += 1
        self._clock.time_anew()
        if self._num_settled > len(_CORRECTED_AT):
            self._deadline = None
            self._clock.stop_timing()
        return self._num_settled == 1

    def _is_time(self, deadline: float, steps_done: int) -> bool:
        if not self._num_settled:
            return bool(self._ranks.from_first(int(self._clock.knows_the_speed(deadline))))
        return steps_done >= _CORRECTED_AT[self._num_settled - 1] * self.total_steps
