"""``sightline inspect``: images from disk, no broker and no database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.options import (
    Bits,
    ConfigFile,
    Method,
    Overrides,
    Profile,
    chosen_method,
    composition_of,
    configure,
    name_of,
)
from adapters.cli.screen import (
    ScreenEvents,
    complain,
    json_text,
    number,
    plain,
    plural,
    stderr,
    stdout,
    table,
    verdict,
)

if TYPE_CHECKING:
    from adapters.cli.images import ImageFolder
    from adapters.cli.output_files import OutputFiles
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
    bits: Bits = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write masks and overlay of each image; overwrites nothing."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout.")] = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Inspect images from disk, without a broker and without a database."""
    from adapters.cli import images as image_files
    from adapters.cli.output_files import OutputFiles
    from agent.domain.prompts import GENERIC_NOUN

    settings = configure(config, profile, [*(overrides or ()), *chosen_method(method)]).settings
    composition = composition_of(context)
    files = image_files.find(images, without=out)
    good = image_files.find([references]) if references is not None else []
    with stderr().status("[dim]loading the model ...[/]"):
        inspector = composition.inspector(settings)
    decoder = composition.decoder(settings, bits, ScreenEvents())
    folder = image_files.ImageFolder(files, decoder)
    known = image_files.ImageFolder(good, decoder, "references")
    folder.expect(known)
    prepared = _prepare(inspector, settings, sku, noun or GENERIC_NOUN, known)
    outputs = None if out is None else OutputFiles(out, files)
    results, failed = [], 0
    for index, (file, frame) in enumerate(zip(files, folder.frames(), strict=True)):
        if isinstance(frame, image_files.Unreadable):
            failed += 1
            results.append({"image": str(file.path), "verdict": "ERROR", "reason": frame.reason})
            continue
        inspected = inspector.inspect([frame.image], [prepared])[0]
        failed += inspected.verdict == "ERROR"
        result = _result(str(file.path), inspected, prepared)
        if outputs is not None:
            inspection = _inspection(frame, inspected, prepared)
            result |= _write(outputs, index, composition.codec(), inspection, frame, inspected)
        results.append(result)
    if outputs is not None and outputs.kept:
        stderr().print(f"[yellow]{plain(outputs.sentence)}[/]", soft_wrap=True)
    if as_json:
        typer.echo(json_text(results))
    else:
        _show(results, prepared)
    if failed:
        complain(f"{plural(failed, 'image')} could not be inspected")
        raise typer.Exit(1)


def _prepare(inspector: Inspector, settings: Settings, sku: str, noun: str, good: ImageFolder) -> Prepared:
    """The recipe in memory only: from references if there are some, else from words alone."""
    from adapters.cli.references import enroll_images, read_references
    from agent.app.options import default_tiling
    from agent.domain.recipe import template_recipe
    from agent.inference.tiled import with_default_tiles

    recipe = template_recipe(sku, settings.inspection.method, noun)
    if not len(good):
        return inspector.prepare(recipe, ())
    recipe = with_default_tiles(recipe, default_tiling(settings))
    taken = read_references(good, inspector, settings.inspection.method)
    draft = replace(recipe, references=taken.unstored())
    return enroll_images(inspector, draft, taken.images, settings).prepared


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
        regions=prepared.recipe.regions,
    )


def _write(
    outputs: OutputFiles,
    index: int,
    codec: ImageCodec,
    inspection: Inspection,
    frame: Frame,
    inspected: InspectionResult,
) -> dict[str, str]:
    """Mask, the same for people, and overlay of the image of that index."""
    import numpy as np

    mask = inspected.mask if inspected.mask is not None else np.zeros(frame.image.shape[:2], np.uint8)
    files = {
        "mask": (".mask.png", codec.encode_mask(mask)),
        "mask_view": (".mask-view.png", codec.encode_mask_view(mask)),
        "overlay": (".overlay.jpg", codec.encode_overlay(frame.image, mask, inspection, inspected.heat)),
    }
    written = outputs.write(index, dict(files.values()))
    return {kind: str(written[ending]) for kind, (ending, _) in files.items()}


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
