"""``sightline prompts write``: the language model writes descriptions that name no product."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.options import ConfigFile, Overrides, Profile, configure
from adapters.cli.screen import Commands, plain, plural, stderr, stdout
from agent.domain.errors import SightlineError

prompt_commands = typer.Typer(
    cls=Commands, help="Prompt sets: what good and defective parts look like, in words."
)


@prompt_commands.callback()
def _prompts() -> None:
    """Makes ``write`` a subcommand: Typer would otherwise run it without its name."""


@prompt_commands.command("write")
def write_command(
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write, JSON.")],
    count: Annotated[int, typer.Option(min=1, max=500, help="Descriptions of each side.")] = 100,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Have Ollama write object-agnostic descriptions, as FADE uses them beside its ensemble.

    They are requested in chunks of twenty, checked, and repetitions are removed, so there may be fewer than
    --count. The file names the model, its digest, the seed and the instructions, and fits `--prompts`.
    """
    from adapters.ollama import OllamaOptions, OllamaWriter

    settings = configure(config, profile, overrides).settings
    if out.suffix.lower() != ".json":
        raise SightlineError(f"{out} should end in .json")
    asking = f"asking {plain(settings.ollama.model)} for {plural(count, 'description')} ..."
    with stderr().status(f"[dim]{asking}[/]"):
        found = OllamaWriter(OllamaOptions.of(settings.ollama)).agnostic(count)
    content = {
        "normal": list(found.prompts.normal),
        "anomalous": list(found.prompts.anomalous),
        # Text beside the lists is a note for readers of the file.
        **{key: str(value) for key, value in found.prompts.provenance.items()},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    stdout().print(
        f"{plural(len(found.prompts.normal), 'normal description')} and {len(found.prompts.anomalous)} "
        f"anomalous ones in {plain(out)}"
    )
    for note in found.notes:
        stderr().print(f"[dim]{plain(note)}[/]", soft_wrap=True, highlight=False)
