"""``Product``: one variant (SKU) of a family, with its design fixed by a seed."""

from dataclasses import dataclass, field

from adapters.simulator.families import FAMILIES
from adapters.simulator.family import Design, Family
from adapters.simulator.seeds import generator


@dataclass(frozen=True, slots=True)
class Product:
    """One SKU. All its parts share the design: material, colour, geometry, print."""

    family: str
    seed: int
    design: Design = field(compare=False, repr=False)

    @classmethod
    def create(cls, family: str, seed: int) -> "Product":
        """The variant number `seed` of a family.

        Raises:
            KeyError: there is no such family; the message names the existing ones.
        """
        if family not in FAMILIES:
            raise KeyError(f"no product family {family!r}; there are: {', '.join(FAMILIES)}")
        return cls(family, seed, FAMILIES[family].design(generator("product", family, seed)))

    @property
    def kind(self) -> Family:
        return FAMILIES[self.family]

    @property
    def noun(self) -> str:
        """What people call it, such as "machined plate"."""
        return self.kind.noun

    @property
    def attributes(self) -> dict[str, str]:
        """Words for captions: colour and material."""
        return {"colour": str(self.design["colour"]), "material": str(self.design["material"])}
