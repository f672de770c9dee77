"""Public fakes: applications, tests and demos on them need no network and no engine.

`FakeChatModel` and `FakeRetriever` answer deterministically and take realistic time on a
clock of your choice: real, sped up, or virtual.
"""

from langgraph_alto.testing.calls import Call, CallLog
from langgraph_alto.testing.clock import Clock, RealClock, VirtualClock
from langgraph_alto.testing.engine import EngineModel, FakeEngine
from langgraph_alto.testing.fake_model import FakeChatModel, Prompt, Reply, count_tokens, cut
from langgraph_alto.testing.fake_retriever import FakeRetriever
from langgraph_alto.testing.lengths import LogNormal, Quantiles, azure, rng

__all__ = [
    "Call",
    "CallLog",
    "Clock",
    "EngineModel",
    "FakeChatModel",
    "FakeEngine",
    "FakeRetriever",
    "LogNormal",
    "Prompt",
    "Quantiles",
    "RealClock",
    "Reply",
    "VirtualClock",
    "azure",
    "count_tokens",
    "cut",
    "rng",
]
