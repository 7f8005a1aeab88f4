"""``FAMILIES``: every product family by name; ``HELD_OUT``: those that training must never see."""

from adapters.simulator.families import (
    board,
    fittings,
    goods,
    hardware,
    label,
    metal,
    packs,
    patterns,
    plastic,
    produce,
    seals,
    surfaces,
    textures,
)
from adapters.simulator.family import Family

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        metal.MACHINED_PLATE,
        metal.GEAR,
        metal.CAST_HOUSING,
        metal.SCREW,
        plastic.BOTTLE_CAP,
        plastic.CONNECTOR,
        plastic.TOOTHBRUSH,
        plastic.TOY_BLOCK,
        label.PRINTED_LABEL,
        board.CIRCUIT_BOARD,
        goods.BISCUIT,
        goods.TABLET,
        goods.CAPSULE,
        goods.BOTTLE_BASE,
        surfaces.WOVEN_CLOTH,
        surfaces.WOOD_BOARD,
        surfaces.CERAMIC_TILE,
        surfaces.LEATHER,
        surfaces.STEEL_SHEET,
        seals.GASKET,
        seals.O_RING,
        hardware.BRACKET,
        hardware.BALL_BEARING,
        textures.CARPET,
        textures.STONE_SLAB,
        textures.FOAM,
        textures.PAINTED_PANEL,
        textures.CARDBOARD,
        patterns.METAL_MESH,
        patterns.ANODISED,
        patterns.PATTERNED_PAPER,
        patterns.SOLAR_CELL,
        packs.GLASS_VIAL,
        packs.TUBE,
        packs.BLISTER_PACK,
        produce.FRUIT,
        produce.NUT,
        fittings.COVER,
        fittings.ZIPPER,
    )
}

# Excluded from every training run, so that a model's results on them hold for products that it never saw:
# a metal part, a plastic part, glass, a pack of repeated cells, and two surfaces.
HELD_OUT: frozenset[str] = frozenset(
    {"screw", "connector", "bottle_base", "leather", "blister_pack", "stone_slab"}
)

__all__ = ["FAMILIES", "HELD_OUT"]
