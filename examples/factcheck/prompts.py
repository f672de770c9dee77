"""The instructions of the four stages that have any: files in `prompts/`, read once."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "prompts"


def _read(stage: str) -> str:
    return (_FOLDER / f"{stage}.md").read_text(encoding="utf-8").strip()


EXTRACT = _read("extract")
QUERIES = _read("queries")
VERDICT = _read("verdict")
REPORT = _read("report")
