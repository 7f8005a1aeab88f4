"""``own_noun``, ``is_same_kind`` and ``looks_foreign``: what an operator's name for a product says by itself.

A language model may call a brass hex nut a fastener, but not a banana. Two nouns are of one kind if they have
the same head, or if the table below has one as a synonym or a more general word of the other.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from adapters.models.encoders.vocabulary import VOCABULARY
from adapters.ollama.text import TokenCounter, clean

_KINDS = """
fastener, hardware, fixing, fitting, metal fitting: nut, bolt, screw=machine screw, washer=shim,
 rivet, stud, nail, staple, dowel, pin=cotter pin=split pin, threaded rod, insert=threaded insert,
 clip, clamp, cable tie=zip tie, hook, anchor, retaining ring=circlip=snap ring,
 spacer=standoff=sleeve, bracket=mount=holder=support, hinge, latch=catch, buckle, zipper=zip
machine part, mechanical part, machine element, drive element, transmission part, metal part,
 machined part, turned part: gear=gear wheel=gearwheel=cog=cogwheel=cog wheel=toothed wheel=pinion,
 pulley, flywheel, shaft=axle=spindle, bearing, bushing=bush=sleeve, coupling, joint, chain, belt,
 spring, piston, cylinder, valve, pump, impeller=rotor, fan, blade, nozzle, injector, flange,
 manifold, radiator, heat sink=heatsink, rail, lever, cam, crank, bracket, plate,
 wheel=rim=roller=castor, disc=disk, ring
gear, wheel, machine part, mechanical part: sprocket=chain wheel=sprocket wheel, worm
seal, sealing, sealing ring, sealing element, rubber part: gasket, o-ring=oring, oil seal=shaft
 seal, grommet, washer, rubber seal
closure, cover, packaging part, packaging: lid=cap=cover=top, stopper=bung=plug, cork, crown
 cap=crown cork=bottle cap
container, vessel, packaging, package, pack, receptacle: bottle=flask, jar=pot, can=tin,
 vial=ampoule=phial, cup, tub, tube, box=carton=cardboard box, crate, tray, bag=pouch=sachet=sack,
 drum=barrel=keg, bucket=pail, blister=blister pack, canister, cartridge, wrapper, envelope, bowl,
 flask, tank, basket, jug=pitcher
print, printed matter, marking: label=sticker=tag, barcode, card, banknote, book, magazine
electronic component, electronic part, electronics, electrical component, electrical part,
 electronic device, component: circuit board=printed circuit board=pcb=pcba=printed
 circuit=board=circuit=motherboard, chip=microchip=integrated circuit=ic, resistor, capacitor,
 inductor=coil, transistor, diode=led=light-emitting diode, transformer, relay, fuse, switch=push
 button=button, connector=plug=socket=terminal=terminal block=header, cable=wire=cord=lead=power
 cord, harness=wire harness=cable assembly, sensor=detector=probe, battery=cell=accumulator,
 motor=electric motor, rotor, stator, display=screen, antenna=aerial, wafer=silicon wafer, solar
 cell=solar panel, camera, lens, magnet, speaker=loudspeaker, keyboard=keypad,
 charger=adapter=power supply, controller, module
lighting, light source: lamp=light=bulb=light bulb=luminaire=headlight, led
enclosure, housing, plastic part, moulded part, injection-moulded part:
 housing=casing=enclosure=case=shell=body=cover
hose, pipe, duct, conduit: pipe=tube=tubing, hose
food, food item, snack, pastry, baked good, baked goods, dessert, sweet, confectionery,
 confection, bakery product, treat: cookie=biscuit, cracker, wafer, bread=loaf, bun=roll, cake,
 muffin, croissant, bagel, pizza, chocolate=chocolate bar, candy=sweet, lollipop, chewing gum,
 pasta=noodle=macaroni, cheese, butter, sausage, ham, meat, chicken, fish, shrimp, egg, chip=crisp
fruit, food, produce: apple, pear, orange, lemon, banana, grape, strawberry, cherry, peach,
 tomato, melon, mango, kiwi
vegetable, food, produce: potato, carrot, onion, pepper, cucumber, lettuce, mushroom, olive, bean,
 corn
food, seed: peanut, almond, hazelnut, walnut, cashew, pistachio, pecan
drug, medicine, medication, medicament, pharmaceutical, dose, pill: tablet, capsule=gel capsule,
 ampoule=vial
medical device, medical product: syringe, needle, catheter, stent, implant, inhaler, thermometer,
 bandage=plaster, mask, glove
textile, cloth, material, woven material: fabric=cloth=textile, denim, felt, velvet, lace,
 yarn=thread, carpet=rug, leather, rope, net=mesh
glassware, drinkware, tableware, vessel: glass=drinking glass=tumbler, wine glass=goblet, mug=cup,
 jug
tableware, crockery, dish, kitchenware, ceramic: plate=dish, bowl, mug=cup, saucer, teapot
cutlery, utensil, kitchen utensil, tableware, tool: spoon, fork, knife, spatula
tool, hand tool: hammer, wrench=spanner, pliers, screwdriver, saw, drill bit=drill=bit, file,
 scissors, brush, knife
clothing, garment, apparel: shirt, trousers, sock, hat, glove, belt, jacket
footwear: shoe, sneaker, boot, sandal, sole=shoe sole
building material, construction material: brick, tile=ceramic tile,
 board=plank=panel=timber=lumber, plywood, slab, pane, plasterboard
sheet metal part, stamped part, pressed part, metal part: plate=sheet=panel, bracket, lid, can
furniture: chair, table, drawer, shelf, door, mattress, pillow=cushion, leg
vehicle part, car part, auto part, automotive part: brake disc=brake rotor, brake pad, tyre=tire,
 wheel, bumper, mirror, windshield, headlight, piston, clutch disc, muffler, spark plug, door
toy, plaything: doll, toy car, brick, ball, figure
jewellery, jewelry, accessory: ring, necklace, watch, wallet, umbrella, bag
stationery: pen, pencil, eraser, crayon, stapler, paper clip
sheet, film, foil, packaging: paper, film=foil, wrap, tape, cardboard
"""
"""More general words: what they cover, with synonyms."""

_MATERIALS = """
aluminium aluminum brass bronze cardboard carbon cast ceramic chrome concrete copper cotton fabric
foam galvanised galvanized glass gold hardened iron leather metal nickel nylon paper plastic polymer
porcelain rubber silicone silver stainless steel stone tin titanium wood wooden wool zinc black blue
brown clear gray grey green orange pink purple red transparent white yellow big large long medium
mini round short small square thick thin left right new old
"""
_CARRIERS = "assembly assy component item kit model part piece product set size type unit version"
_MATERIAL, _CARRIER = frozenset(_MATERIALS.split()), frozenset(_CARRIERS.split())
"""Words that qualify a product, and words that stand after its noun without being one."""

_SHORTEST_WORD = 4
"""Shorter words are the same in several languages."""
_ONE_TOKEN = 3
"""With the start and the end of the text."""

_CUT = re.compile(r"[,;:(/]| - | (?:of|with|for|in|on|from|by|to|and|at|without|made|incl|including)\b")
_FOREIGN_WORDS = """
aus und für fur mit ohne der das dem den des ein eine einer einem von vom zur zum auf bei nach ist
sind le la les une du et avec pour sans dans au aux est el los las una uno con sin por para de del
il lo gli senza di della dello dei delle da um uma com sem dos das os van het een voor met zonder ze
na oraz dla bez och med av till utan för af til uden ve
"""
_ENGLISH_WORDS = """
the of with for and from its an is are by made on in to this that without per at has have used
"""
_LOANED_WORDS = "cafe decor creme pate jalapeno facade puree brulee"
_FOREIGN, _ENGLISH = frozenset(_FOREIGN_WORDS.split()), frozenset(_ENGLISH_WORDS.split())
"""Little words of German, French, Spanish, Italian and others that English lacks, and English ones."""
_LOANED = frozenset(_LOANED_WORDS.split())


@cache
def _general() -> dict[str, frozenset[str]]:
    """Each noun of the table with its synonyms and its more general words."""
    found: dict[str, set[str]] = {}
    for line in re.sub(r"\n ", " ", _KINDS.strip()).splitlines():
        above, _, below = line.partition(":")
        general = {word.strip() for word in above.split(",")}
        for member in below.split(","):
            same = {word.strip() for word in member.split("=")}
            for word in same:
                found.setdefault(word, set()).update(same | general)
        for word in general:
            found.setdefault(word, set()).add(word)
    return {word: frozenset(words) for word, words in found.items()}


@cache
def _lexicon() -> frozenset[str]:
    return frozenset(word for noun in _products() for word in noun.split()) | _MATERIAL | _CARRIER


@cache
def _products() -> frozenset[str]:
    return frozenset(noun.lower() for noun in VOCABULARY) | _general().keys()


def _words(phrase: str) -> list[str]:
    """The words of a name up to its head: "nut" of "M8 nut, brass", "gear" of "gear 24 teeth for X"."""
    first = _CUT.split(f" {phrase.lower()}", maxsplit=1)[0]
    words: list[str] = []
    for word in re.findall(r"[a-z0-9][a-z0-9-]*", first):
        if any(c.isdigit() for c in word):
            if _known(words):
                break
        elif len(word) > 1:
            words.append(word)
    kept = list(words)
    while len(kept) > 1 and (kept[-1] in _CARRIER or kept[-1] in _MATERIAL) and not _known(kept):
        kept.pop()
    return kept or words


def _known(words: list[str]) -> str | None:
    """The longest end of a phrase that is a product of the table or the vocabulary, in singular."""
    return next((end for end in _ends(words) if end in _products()), None)


def own_noun(name: str | None) -> str | None:
    """One to three words of a cleaned name, its head last; None if it holds no words."""
    words = _words(name) if name else []
    return " ".join([*words[-3:-1], singular(words[-1])]) if words else None


def is_recognised(name: str) -> bool:
    """Whether the head of a cleaned name is an English noun that the table or the vocabulary knows."""
    words = _words(name)
    return bool(words) and words[-1] not in _MATERIAL - _products() and _known(words) is not None


def is_english(name: str, count: TokenCounter) -> bool:
    """Whether a cleaned name holds a word that is English for sure: a known one, or one token for CLIP.

    CLIP learned its tokens from English captions; it cuts words of other languages to pieces.
    """
    words = [word for word in _words(name) if len(word) >= _SHORTEST_WORD]
    return any(word in _lexicon() or count(word) == _ONE_TOKEN for word in words) or is_recognised(name)


def is_material(noun: str) -> bool:
    """Whether a noun is a material, colour or size alone."""
    return noun not in _products() and set(noun.split()) <= _MATERIAL


def is_same_kind(noun: str, name: str) -> bool | None:
    """Whether a noun can name the product that people call ``name``; None if that is not known."""
    called, given = _words(name), _words(noun)
    if not called or not given:
        return None
    head, other = singular(called[-1]), singular(given[-1])
    if head == other:
        return True
    table, ours, theirs = _general(), _known(called), _known(given)
    if ours and any(end in table.get(one, ()) for one in (ours, head) for end in _ends(given)):
        return True
    if theirs and any(end in table.get(one, ()) for one in (theirs, other) for end in _ends(called)):
        return True
    compound = head.endswith(other) or other.endswith(head)  # a toothbrush is a brush, a peanut is no nut
    return None if compound or ours is None or theirs is None or other in _CARRIER else False


@cache
def singular(word: str) -> str:
    """An English noun in singular; a word that is a product as it stands stays, such as trousers."""
    if not word.endswith("s") or word in _products():
        return word
    stems = [
        word[:-1],
        word[:-2] if word.endswith("es") else "",
        f"{word[:-3]}y" if word.endswith("ies") else "",
    ]
    stems += [f"{word[:-3]}f", f"{word[:-3]}fe"] if word.endswith("ves") else []
    known = next((stem for stem in stems if stem and stem in _products()), None)
    if known is not None:
        return known
    if word.endswith(("ss", "us", "is")) or len(word) < 4:
        return word
    if word.endswith("ies") and len(word) > 4:
        return stems[2]
    return stems[1] if word.endswith(("sses", "xes", "ches", "shes")) else stems[0]


def _ends(words: list[str]) -> list[str]:
    """A phrase in singular, then ever shorter ends of it: metal hex nut, hex nut, nut."""
    words = [*words[:-1], singular(words[-1])] if words else []
    return [" ".join(words[start:]) for start in range(len(words))]


def looks_foreign(name: str, description: str | None = None) -> bool:
    """Whether a product's name is in another language than English, by its letters and little words."""
    if clean(name) is None and any(c.isalpha() for c in name):
        return True
    if any(_has_accents(word) for word in re.findall(r"\w+", name)):
        return True
    if _balance(name) > 0:
        return True
    return bool(description) and _balance(description or "") > 1 and not is_recognised(clean(name) or "")


def _has_accents(word: str) -> bool:
    plain = "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(c))
    return plain != word.lower() and plain not in _LOANED


def _balance(text: str) -> int:
    """Little words of other languages less those of English."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    return sum(word in _FOREIGN for word in words) - sum(word in _ENGLISH for word in words)
