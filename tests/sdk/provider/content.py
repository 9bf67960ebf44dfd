"""What the provider says, whatever the API: a sentence, a tool call, or an object for a schema."""

from __future__ import annotations

import json
import math
import re
from typing import Any

SPEECH = [bytes([0xFF, 0xFB, 0x90, 0x64]) + bytes(range(256)) * 8 for _ in range(5)]
"""Pieces of an MP3 file, or at least nothing that is text."""


def sentence(number: int, question: str) -> str:
    """Characters of one to four bytes; the number of the request makes every live answer another one."""
    return f"Answer {number} to “{question}”: größer 你好 🌍, done."


def words(text: str) -> list[str]:
    """`text` as a model hands it out."""
    return [word + " " for word in text.split(" ")[:-1]] + text.split(" ")[-1:]


def vector(text: str) -> list[float]:
    return [round(math.sin(index + len(text)), 6) for index in range(8)]


def example(schema: dict[str, Any], number: int = 7) -> Any:
    """The simplest value that a JSON schema (or Gemini's form of one) allows."""
    if "$ref" in schema:
        raise ValueError("schemas with references are not answered")
    for choice in ("enum", "anyOf", "oneOf"):
        if schema.get(choice):
            first = schema[choice][0]
            return first if choice == "enum" else example(first, number)
    if "const" in schema:
        return schema["const"]
    kind = str(schema.get("type", "object")).lower()
    if kind == "object":
        return {name: example(inner, number) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema["items"], number)]
    return {"integer": number, "number": number / 2, "boolean": True}.get(kind, f"Zürich {number}")


def example_json(schema: dict[str, Any], number: int) -> str:
    return json.dumps(example(schema, number), ensure_ascii=False)


def calls_due(conversation: str, results: int) -> int:
    """How many tool calls are to be made now.

    One, and then an answer; a conversation that says "in 3 steps" gets that many steps, the first one with two
    calls. `results`: of how many calls the conversation has the results.
    """
    said = re.search(r"in (\d) steps", conversation)
    steps = int(said[1]) if said else 1
    first = 2 if steps > 1 else 1
    if not results:
        return first
    return 1 if results - first + 1 < steps else 0


_FIELD = re.compile(
    r"`\[\[ ## (\w+) ## \]\]`(?: \(must be formatted as a valid Python (\w+)(?:\[([^\]]*)\])?)?"
)


def marked(number: int, question: str) -> str:
    """An answer in the form that DSPy asks for: each field below its marker. "" when it is not asked for.

    Of several tools the last one, which ends the loop, is chosen in the second step.
    """
    fields = _FIELD.findall(question)
    texts = []
    for name, kind, of in fields:
        text = f"{name} {number}: größer 你好"
        if kind == "Literal":
            choices = [choice.strip(" '") for choice in of.split(",")]
            text = choices[-1 if "observation_1" in question else 0]
        elif kind == "dict":
            text = json.dumps({} if "observation_1" in question else {"city": f"Zürich {number}"})
        texts.append(f"[[ ## {name} ## ]]\n{text}\n\n" if name != "completed" else "[[ ## completed ## ]]")
    return "".join(texts)


def text_of(content: Any) -> str:
    """The text of a message whose content is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", part["type"]) for part in content)
