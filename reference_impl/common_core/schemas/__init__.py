"""The JSON Schema of each event, in a file beside this one, for services in other languages."""

import json
from pathlib import Path

from reference_impl.common_core.events import EVENTS, EventData, EventEnvelope

FOLDER = Path(__file__).parent


def schema(event: type[EventData]) -> str:
    """Return the schema of an envelope with this event's ``data``: JSON with sorted keys, identical on every run."""
    document = EventEnvelope[event].model_json_schema()  # type: ignore[valid-type]
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = event.EVENT_TYPE
    document["properties"]["event_type"] = {"const": event.EVENT_TYPE}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def expected() -> dict[str, str]:
    """Return the expected files: name to content."""
    return {f"{event.EVENT_TYPE}.json": schema(event) for event in EVENTS}


def drift(folder: Path = FOLDER) -> list[str]:
    """Return the names of files that are missing, differ, or belong to no event."""
    actual = {path.name: path.read_text("utf-8") for path in folder.glob("*.json")}
    files = expected()
    return sorted(name for name in actual.keys() | files.keys() if actual.get(name) != files.get(name))


def write(folder: Path = FOLDER) -> None:
    """Bring the folder up to date."""
    files = expected()
    for path in folder.glob("*.json"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
