"""The JSON Schema of each event, in a file beside this one: what a service in another language is written against."""

import json
from pathlib import Path

from reference_impl.common_core.events import EVENTS, EventData, EventEnvelope

FOLDER = Path(__file__).parent


def schema(event: type[EventData]) -> str:
    """The schema of an envelope with this event's ``data``: JSON with sorted keys, the same on every run."""
    document = EventEnvelope[event].model_json_schema()  # type: ignore[valid-type]
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = event.EVENT_TYPE
    document["properties"]["event_type"] = {"const": event.EVENT_TYPE}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def expected() -> dict[str, str]:
    """What each file of the folder must hold, by its name."""
    return {f"{event.EVENT_TYPE}.json": schema(event) for event in EVENTS}


def drift(folder: Path = FOLDER) -> list[str]:
    """Names of the files that are missing, differ, or are no event's any more."""
    found = {path.name: path.read_text("utf-8") for path in folder.glob("*.json")}
    wanted = expected()
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))


def write(folder: Path = FOLDER) -> None:
    """Bring the folder up to date."""
    wanted = expected()
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, "utf-8")
