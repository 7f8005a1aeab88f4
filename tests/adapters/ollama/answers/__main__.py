"""Print what the checks make of each real answer."""

from __future__ import annotations

import sys
from collections import Counter

from tests.adapters.ollama.answers import judged

used: Counter[tuple[str, bool]] = Counter()
for one in judged():
    used[one.question, bool(one.taken)] += 1
    shown = ", ".join(one.taken) if one.question == "nouns" else f"{len(one.taken)} texts"
    line = f"{one.number:2} {one.question:8} {one.name[:26]:26} {shown if one.taken else '-':30} {one.reason}"
    sys.stdout.write(f"{line[:160]}\n")
for question in ("nouns", "prompts", "defects"):
    sys.stdout.write(f"{question}: {used[question, True]} used, {used[question, False]} refused\n")
