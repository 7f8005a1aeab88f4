"""``heat_panel``: the anomaly map over the frame, with its scale and the threshold on it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from adapters.images.lettering import fit, font
from agent.domain.frame import Image
from agent.domain.inspection import HeatMap

_OPACITY = 0.65
"""Of the hottest place; cold ones are transparent, so that the frame shows."""
_INK = (240, 243, 246)
_PLATE = (24, 27, 31)


def heat_panel(canvas: Image, heat: HeatMap, unit: int) -> Image:
    """(H, W, 3) uint8 RGB: ``canvas`` under its anomaly map, a scale in the lower left corner.

    The scale ends at the threshold, or at the highest value if that is above. So two frames of one recipe
    can be compared, and a frame that is nearly defective has a place that is nearly red.

    Args:
        canvas: (H, W, 3) uint8 RGB, the frame as it is shown.
        unit: height of the text in pixels.
    """
    height, width = canvas.shape[:2]
    values = np.nan_to_num(heat.values.astype(np.float32), posinf=0.0, neginf=0.0)
    top = max(float(values.max(initial=0.0)), heat.threshold, 1e-9)
    share = np.clip(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR) / top, 0.0, 1.0)
    share = share.astype(np.float32)
    alpha = np.asarray(_OPACITY * np.sqrt(share), dtype=np.float32)
    # Without colour, the frame's own red and blue are not taken for heat.
    grey = cv2.cvtColor(cv2.cvtColor(canvas, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    panel = Pillow.fromarray(cv2.blendLinear(grey, _colours(share), 1.0 - alpha, alpha))
    _draw_scale(panel, heat.threshold, top, unit)
    return np.asarray(panel, dtype=np.uint8)


def _colours(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of values from 0 to 1: blue, green, yellow, red."""
    levels = np.rint(share * 255).astype(np.uint8)
    coloured = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _draw_scale(panel: Pillow.Image, threshold: float, top: float, unit: int) -> None:
    draw, small = ImageDraw.Draw(panel), font(max(11, round(0.85 * unit)))
    pad = max(3, unit // 3)
    bar = min(12 * unit, panel.width - 4 * pad)
    tall = 2 * pad + round(1.9 * unit)
    if bar < 4 * unit or panel.height < 2 * tall:
        return  # the frame is too narrow for it
    caption = fit(draw, f"heat map, 0 to {top:.3g}, threshold {threshold:.3g}", small, panel.width - 4 * pad)
    wide = max(bar, round(draw.textlength(caption, font=small))) + 2 * pad
    left, upper = pad, panel.height - tall - pad
    draw.rounded_rectangle((left, upper, left + wide, upper + tall), radius=pad, fill=_PLATE)
    draw.text((left + pad, upper + pad), caption, _INK, small, anchor="lt")
    strip = _colours(np.linspace(0.0, 1.0, bar, dtype=np.float32)[None].repeat(max(4, unit // 2), axis=0))
    at = upper + tall - pad - strip.shape[0]
    panel.paste(Pillow.fromarray(strip), (left + pad, at))
    tick = left + pad + round(bar * min(1.0, max(0.0, threshold) / top))
    draw.line((tick, at - 2, tick, at + strip.shape[0] + 2), fill=_INK, width=max(2, unit // 7))
