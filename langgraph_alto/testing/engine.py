"""How long an LM engine takes: the figures of an 8B model on one H200-class GPU.

Theory. An engine runs in steps. A step gives one token to each running sequence, and it
takes longer the more sequences run, the more context they attend to, and the more prompt
tokens are prefilled in it. So a call's speed depends on its neighbours, and a fake with a
constant time per token would flatter whoever runs more at once.

The fake does not simulate the steps of the whole batch. Each call keeps a deadline of its own
and moves it by what a step takes at that moment; a prefill moves the deadlines of all.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from langgraph_alto.testing.clock import Clock, RealClock


@dataclass(frozen=True, slots=True)
class EngineModel:
    """Times of an engine, in seconds.

    Example:
        >>> model = EngineModel()
        >>> round(model.step(running=1, context=0) * 1000, 2), round(model.prefill(1000), 4)
        (7.56, 0.045)
    """

    base_step: float = 7.5e-3
    per_sequence: float = 0.06e-3
    per_context_token: float = 4.4e-8
    per_prefill_token: float = 0.045e-3
    cache_tokens: int = 400_000

    def step(self, running: int, context: int) -> float:
        """One decode step with `running` sequences that hold `context` tokens together."""
        return self.base_step + self.per_sequence * running + self.per_context_token * context

    def prefill(self, tokens: int) -> float:
        """What `tokens` prompt tokens add to the steps that compute them."""
        return self.per_prefill_token * tokens


class FakeEngine:
    """The state that the calls of one engine share: who runs, and which prefixes are cached.

    It has no thread and no task: each `Running` asks it for each of its deadlines. The number of
    sequences is not limited (a real engine queues beyond some 256).
    """

    def __init__(self, model: EngineModel | None = None, clock: Clock | None = None) -> None:
        self.model = model or EngineModel()
        self.clock: Clock = clock or RealClock()
        self._lock = threading.Lock()
        self._running = 0
        self._context = 0
        self._prefilled = 0.0  # seconds of prefill since the engine began: all wait for them
        self._cached: OrderedDict[Hashable, int] = OrderedDict()  # prefix -> its tokens, LRU
        self._cached_tokens = 0

    @property
    def running(self) -> int:
        """How many sequences run now."""
        return self._running

    def begin(self, prefixes: Sequence[tuple[Hashable, int]]) -> Running:
        """Admit a prompt, given as its growing prefixes: (identity, tokens so far)."""
        with self._lock:
            total = prefixes[-1][1] if prefixes else 0
            known = max((tokens for key, tokens in prefixes if key in self._cached), default=0)
            before = self._prefilled
            self._prefilled += self.model.prefill(total - known)
            self._running += 1
            self._context += total
            self._remember(prefixes)
        return Running(self, self.clock.now(), total, before)

    def _remember(self, prefixes: Sequence[tuple[Hashable, int]]) -> None:
        previous = 0
        for key, tokens in prefixes:
            if key not in self._cached:
                self._cached_tokens += tokens - previous  # a prefix costs what it adds
                self._cached[key] = tokens - previous
            previous = tokens
        for key, _ in reversed(prefixes):  # of one prompt, the longest prefix is evicted first
            self._cached.move_to_end(key)
        while self._cached_tokens > self.model.cache_tokens:
            self._cached_tokens -= self._cached.popitem(last=False)[1]


class Running:
    """A sequence on the engine. `deadline` is when its newest token is due."""

    def __init__(self, engine: FakeEngine, now: float, prompt: int, prefilled: float) -> None:
        self.deadline = now
        self._engine = engine
        self._context = prompt
        self._prefilled = prefilled
        self._ended = False

    def advance(self, tokens: int = 1) -> float:
        """The deadline after `tokens` more tokens, at the load of this moment."""
        engine = self._engine
        with engine._lock:
            step = engine.model.step(engine._running, engine._context)
            self.deadline += step * tokens + engine._prefilled - self._prefilled
            self._prefilled = engine._prefilled
            self._context += tokens
            engine._context += tokens
        return self.deadline

    def end(self) -> None:
        """Leave the engine; more than once is harmless."""
        engine = self._engine
        with engine._lock:
            if not self._ended:
                self._ended = True
                engine._running -= 1
                engine._context -= self._context
