"""JSON schemas of answers, reduced to what a grammar compiler takes."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from adapters.ollama.answers import schema_of
from adapters.ollama.instructions import AGNOSTIC, DEFECTS, NOUNS, PROMPTS, TAGS

QUESTIONS = (NOUNS, PROMPTS, DEFECTS, TAGS, *AGNOSTIC)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    """A docstring becomes a description."""

    title: Annotated[str, Field(min_length=1, max_length=9, pattern="^a")] = "a"
    colour: Colour = Colour.RED


class Outer(BaseModel):
    several: Annotated[list[Inner], Field(min_length=2, max_length=3, description="some")]
    one: Inner | None = None


class Tree(BaseModel):
    branches: list[Tree]


def test_only_what_the_compiler_knows_is_left_and_references_are_written_out() -> None:
    inner = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "colour": {"type": "string", "enum": ["red", "blue"]}},
        "required": ["title", "colour"],
    }
    assert schema_of(Outer) == {
        "type": "object",
        "properties": {
            "several": {"type": "array", "items": inner},
            "one": {"anyOf": [inner, {"type": "null"}]},
        },
        "required": ["several", "one"],
    }


def test_a_shape_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="contains itself"):
        schema_of(Tree)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_no_question_asks_for_more_than_the_compiler_knows(question: Any) -> None:
    def keys(node: Any) -> set[str]:
        if isinstance(node, list):
            return {key for each in node for key in keys(each)}
        if not isinstance(node, dict):
            return set()
        inner = {key for name, value in node.items() if name != "properties" for key in keys(value)}
        return {*node, *inner, *(key for value in node.get("properties", {}).values() for key in keys(value))}

    assert keys(question.schema) <= {"type", "properties", "required", "items", "enum"}
    asked = question.messages({"noun": "gear"})[-1]["content"]
    example = question.example("gear")
    assert json.dumps(example) in asked, "a real answer shows the shape"
    assert "..." not in asked
    assert question.answer.model_validate(example).model_dump() == example
    assert set(example) == set(question.schema["properties"])
