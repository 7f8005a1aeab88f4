"""``sightline inspect``: images from disk, no broker and no database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.options import (
    ConfigFile,
    Method,
    Overrides,
    Profile,
    chosen_method,
    composition_of,
    configure,
    name_of,
)
from adapters.cli.screen import complain, json_text, number, plural, stderr, stdout, table, verdict

if TYPE_CHECKING:
    from agent.app import Application
    from agent.domain.frame import Frame
    from agent.domain.inspection import Inspection
    from agent.inference.inspector import InspectionResult, Inspector
    from agent.methods.prepared import Prepared
    from agent.ports import ImageCodec
    from config import Settings


def inspect(
    context: typer.Context,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Images, or folders of them.")],
    sku: Annotated[str, typer.Option(metavar="S", parser=name_of, help="What they show.")] = "part",
    noun: Annotated[
        str | None, typer.Option(metavar="N", help='What it is called, such as "gear"; prompts use it.')
    ] = None,
    references: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Good parts; with eight or more there is a verdict.")
    ] = None,
    method: Method = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write masks and overlay of each image there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout.")] = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Inspect images from disk, without a broker and without a database."""
    from adapters.cli import images as image_files
    from agent.domain.prompts import GENERIC_NOUN

    settings = configure(config, profile, [*(overrides or ()), *chosen_method(method)]).settings
    composition = composition_of(context)
    files = image_files.find(images)
    good = image_files.find([references]) if references is not None else []
    with stderr().status("[dim]loading the model ...[/]"):
        inspector = composition.inspector(settings)
    prepared = _prepare(composition, inspector, settings, sku, noun or GENERIC_NOUN, good)
    results, failed = [], 0
    for file, frame in zip(files, image_files.read(files, composition.decoder(settings)), strict=True):
        if isinstance(frame, image_files.Unreadable):
            failed += 1
            results.append({"image": str(file.path), "verdict": "ERROR", "reason": frame.reason})
            continue
        inspected = inspector.inspect([frame.image], [prepared])[0]
        failed += inspected.verdict == "ERROR"
        result = _result(str(file.path), inspected, prepared)
        if out is not None:
            result |= _write(
                out, file.name, composition.codec(), _inspection(frame, inspected, prepared), frame, inspected
            )
        results.append(result)
    if as_json:
        typer.echo(json_text(results))
    else:
        _show(results, prepared)
    if failed:
        complain(f"{plural(failed, 'image')} could not be inspected")
        raise typer.Exit(1)


def _prepare(
    composition: Application, inspector: Inspector, settings: Settings, sku: str, noun: str, good: list[Any]
) -> Prepared:
    """The recipe in memory only: from references if there are some, else from words alone."""
    from adapters.cli.references import enroll_images, read_references, unstored
    from agent.domain.recipe import template_recipe

    recipe = template_recipe(sku, settings.inspection.method, noun)
    if not good:
        return inspector.prepare(recipe, ())
    taken = read_references(good, composition.decoder(settings))
    draft = replace(recipe, references=unstored(taken))
    return enroll_images(inspector, draft, taken, settings).prepared


def _result(image: str, inspected: InspectionResult, prepared: Prepared) -> dict[str, Any]:
    calibration = prepared.recipe.calibration
    return {
        "image": image,
        "verdict": inspected.verdict.value,
        "score": inspected.score,
        "threshold": calibration.threshold if calibration else None,
        "calibrated": calibration is not None,
        "reason": inspected.reason,
        "defects": [
            {
                "index": defect.index,
                "label": defect.label,
                "score": defect.score,
                "bbox": list(defect.bbox),
                "area_px": defect.area_px,
                "area_fraction": defect.area_fraction,
            }
            for defect in inspected.defects
        ],
        "infer_ms": round(inspected.infer_ms, 1),
    }


def _inspection(frame: Frame, inspected: InspectionResult, prepared: Prepared) -> Inspection:
    """As the overlay wants it."""
    import uuid
    from datetime import UTC, datetime

    from agent.domain.inspection import Inspection

    calibration = prepared.recipe.calibration
    return Inspection(
        inspection_id=str(uuid.uuid4()),
        identity=frame.identity,
        sku=prepared.recipe.sku,
        verdict=inspected.verdict,
        reason=inspected.reason,
        received_at=frame.received_at,
        inspected_at=datetime.now(UTC),
        score=inspected.score,
        threshold=calibration.threshold if calibration else None,
        calibrated=calibration is not None,
        defects=inspected.defects,
        size=(frame.width, frame.height),
    )


def _write(
    folder: Path,
    name: str,
    codec: ImageCodec,
    inspection: Inspection,
    frame: Frame,
    inspected: InspectionResult,
) -> dict[str, str]:
    """Mask, the same for people, and overlay beside each other, named after the image."""
    import numpy as np

    mask = inspected.mask if inspected.mask is not None else np.zeros(frame.image.shape[:2], np.uint8)
    stem = folder / Path(name).with_suffix("")
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = {
        "mask": ("mask.png", codec.encode_mask(mask)),
        "mask_view": ("mask-view.png", codec.encode_mask_view(mask)),
        "overlay": ("overlay.jpg", codec.encode_overlay(frame.image, mask, inspection, inspected.heat)),
    }
    written = {}
    for kind, (ending, content) in files.items():
        file = stem.with_name(f"{stem.name}.{ending}")
        file.write_bytes(content)
        written[kind] = str(file)
    return written


def _show(results: list[dict[str, Any]], prepared: Prepared) -> None:
    shown = table("image", "verdict", "score", "threshold", "defects", right=("score", "threshold"))
    for result in results:
        defects = result.get("defects") or []
        words = ", ".join(f"{one['label']} {one['area_fraction']:.1%}" for one in defects) or "-"
        shown.add_row(
            result["image"],
            verdict(result["verdict"]),
            number(result.get("score")),
            number(result.get("threshold")),
            result["reason"] if result["verdict"] == "ERROR" else words,
        )
    console = stdout()
    console.print(shown)
    if prepared.recipe.calibration is None:
        console.print(
            "[dim]Without a threshold every verdict is REVIEW: name a folder of eight or more good parts "
            "with --references.[/]"
        )
