"""Answers of chat models in a file, so that both executors see the same tokens at the same times.

One JSON object a line: the question's hash, how it begins (for people), and the answer as it
came: as one message after so many seconds, or as chunks with their times. Nothing of the model's
credentials is in there; the messages are.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import (
    AIMessageChunk,
    BaseMessage,
    message_to_dict,
    messages_from_dict,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langgraph_alto.errors import AltoError, InputsError
from langgraph_alto.rendering import to_json, to_plain

_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


class NotRecordedError(AltoError):
    """A chat model was asked something that the recording has no answer to."""


def key_of(model: Any, messages: Sequence[BaseMessage], stop: Any, kwargs: Any) -> str:
    """A hash of a question: the model and its parameters, the messages and the tools.

    Ids of messages are left out: LangGraph draws them anew in each run.
    """
    asked = [{k: v for k, v in to_plain(m).items() if k != "id"} for m in messages]
    about = [
        type(model).__qualname__,
        getattr(model, "_llm_type", ""),
        getattr(model, "_identifying_params", {}),
        stop,
        kwargs,
    ]
    text = to_json([about, asked])
    return hashlib.sha256(_ADDRESS.sub("", text).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Answer:
    """What a model said: `parts` are (seconds since the question, generation as JSON)."""

    parts: tuple[tuple[float, dict[str, Any]], ...]
    is_stream: bool

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.parts[-1][0] if self.parts else 0.0

    @classmethod
    def of_result(cls, result: ChatResult, seconds: float) -> Answer:
        """A whole answer."""
        return cls(tuple((seconds, _dumped(g)) for g in result.generations), False)

    @classmethod
    def of_chunks(cls, chunks: Sequence[tuple[float, ChatGenerationChunk]]) -> Answer:
        """An answer in chunks."""
        return cls(tuple((at, _dumped(chunk)) for at, chunk in chunks), True)

    def result(self) -> ChatResult | None:
        """The answer as it was given; None if it came in chunks."""
        if self.is_stream:
            return None
        return ChatResult(
            generations=[
                ChatGeneration(message=_message(part), generation_info=part.get("info"))
                for _, part in self.parts
            ]
        )

    def chunks(self) -> Iterator[tuple[float, ChatGenerationChunk]]:
        """The answer as a stream; a whole one is one chunk."""
        for at, part in self.parts:
            message = _message(part)
            if not isinstance(message, AIMessageChunk):
                known = set(AIMessageChunk.model_fields) - {"type"}
                fields = {k: v for k, v in message.model_dump().items() if k in known}
                message = AIMessageChunk(**fields)
            yield at, ChatGenerationChunk(message=message, generation_info=part.get("info"))


def _dumped(generation: ChatGeneration) -> dict[str, Any]:
    made: dict[str, Any] = {"message": message_to_dict(generation.message)}
    # LangChain puts the run's id there; the replaying run has its own.
    drawn = str(made["message"]["data"].get("id") or "")
    if drawn.startswith(("run-", "lc_run-")):
        made["message"]["data"]["id"] = None
    if generation.generation_info:
        made["info"] = to_plain(generation.generation_info)
    return made


def _message(part: dict[str, Any]) -> BaseMessage:
    return messages_from_dict([part["message"]])[0]


class Recording:
    """Answers by question; of a question that was asked several times all, in their order."""

    def __init__(self) -> None:
        self._answers: dict[str, list[Answer]] = {}
        self._lock = threading.Lock()
        self.missed = 0

    def __len__(self) -> int:
        return sum(map(len, self._answers.values()))

    def keep(self, key: str, answer: Answer) -> None:
        """Add an answer."""
        with self._lock:
            self._answers.setdefault(key, []).append(answer)

    def answer(self, key: str, turn: int, messages: Sequence[BaseMessage]) -> Answer:
        """The answer to a question that was asked `turn` times before in the same run.

        Raises:
            NotRecordedError: There is none.
        """
        found = self._answers.get(key)
        if not found:
            self.missed += 1
            last = " ".join(str(messages[-1].text).split())[:80] if messages else ""
            raise NotRecordedError(
                f"The recording has no answer to {last!r}. The prompt is not the one that was "
                "recorded: record again, or keep dates, ids and chance out of it."
            )
        return found[min(turn, len(found) - 1)]

    def save(self, path: str | Path) -> None:
        """Write all answers."""
        with Path(path).open("w", encoding="utf-8") as file:
            for key, answers in self._answers.items():
                for answer in answers:
                    line = {"key": key, "stream": answer.is_stream, "parts": answer.parts}
                    file.write(to_json(line) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read answers.

        Raises:
            InputsError: The file can't be read or is no recording.
        """
        made = cls()
        try:
            with Path(path).open(encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    made._add_line(line, f"{path}, line {number}")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or getattr(error, "reason", error)
            raise InputsError(f"can't read {str(path)!r}: {reason}.") from None
        if not len(made):
            raise InputsError(f"{path} holds no recorded answers.")
        return made

    def _add_line(self, line: str, where: str) -> None:
        if not line.strip():
            return
        try:
            value = json.loads(line)
            parts = tuple((float(at), dict(part)) for at, part in value["parts"])
            for _, part in parts:
                _message(part)
            self.keep(str(value["key"]), Answer(parts, bool(value["stream"])))
        except (ValueError, KeyError, TypeError) as error:
            raise InputsError(f"{where} is no recorded answer: {error}.") from None
