"""``VOCABULARY``: nouns for what a production-line camera sees, for the tagger.

Singular and lower case, as in a photo's caption; grouped by trade only for the reader.
"""

from __future__ import annotations

_FASTENERS = """
screw, wood screw, machine screw, set screw, bolt, hex bolt, carriage bolt, eye bolt, anchor bolt, nut,
hex nut, wing nut, lock nut, washer, spring washer, rivet, nail, staple, pin, cotter pin, dowel,
threaded rod, threaded insert, clip, clamp, hose clamp, bracket, hinge, hook, latch, buckle, zipper, button,
snap fastener, cable tie
"""
_MECHANICS = """
gear, bevel gear, worm gear, rack and pinion, sprocket, pulley, flywheel, shaft, camshaft, crankshaft, axle,
spindle, bearing, ball bearing, roller bearing, bushing, coupling, universal joint, chain, drive belt,
spring, coil spring, leaf spring, piston, piston ring, connecting rod, cylinder liner, valve, ball valve,
butterfly valve, solenoid valve, pump, impeller, turbine blade, fan blade, propeller, nozzle, injector,
flange, gasket, o-ring, oil seal, hose, pipe, pipe fitting, elbow fitting, tee fitting, manifold, filter,
oil filter, air filter, radiator, heat exchanger, heat sink, engine block, cylinder head, brake disc,
brake pad, brake caliper, clutch disc, wheel, wheel rim, tire, wheel hub, exhaust pipe, muffler, spark plug,
fuel tank, gearbox housing, bumper, car door, headlight, tail light, mirror, windshield, dashboard,
steering wheel, seat belt, airbag cover
"""
_METAL = """
metal plate, metal sheet, metal strip, metal coil, steel bar, steel tube, steel surface,
hot-rolled steel strip, aluminium profile, aluminium foil, copper foil, copper pipe, wire, wire mesh,
wire rope, casting, forging, weld seam, machined part, turned part, milled part, stamped part, punched part,
bent sheet metal part, die-cast housing, extrusion, perforated metal, grating, knife, blade, saw blade,
drill bit, milling cutter, file, hammer, wrench, pliers, screwdriver, mould, die, magnetic tile, magnet,
metal nut, metal can, metal cap, metal ring, ingot, rail
"""
_ELECTRICS = """
circuit board, printed circuit board, flexible circuit, integrated circuit, microchip, transistor, diode,
resistor, capacitor, inductor, coil, transformer, relay, fuse, fuse holder, switch, push button,
toggle switch, keypad, keyboard, connector, plug, socket, terminal block, pin header, ribbon cable, cable,
power cord, wire harness, cable gland, solder joint, soldered pin, LED, light bulb, lamp, display,
liquid crystal display, touch screen, camera module, lens, sensor, antenna, battery, battery cell,
lithium battery, battery tab, solar cell, solar panel, silicon wafer, wafer, semiconductor die, lead frame,
electric motor, rotor, stator, commutator, carbon brush, loudspeaker, microphone, headphones,
remote control, charger, power adapter, power supply, circuit breaker, electricity meter, hard disk,
memory module, computer mouse, mobile phone, phone case, smart watch, printer cartridge
"""
_PLASTIC_AND_RUBBER = """
plastic part, injection-moulded part, plastic housing, plastic cap, plastic lid, plastic cup, plastic tube,
plastic film, plastic bag, plastic crate, plastic pellet, plastic gear, plastic handle, foam block,
foam sheet, rubber seal, rubber mat, rubber hose, rubber stopper, rubber ring, silicone part,
composite panel, carbon fibre sheet, glass fibre mat, acrylic sheet, toothbrush, comb, toy brick, toy car,
doll, ball, helmet, bucket
"""
_PACKAGING = """
bottle, glass bottle, plastic bottle, beer bottle, wine bottle, water bottle, bottle neck, bottle cap,
crown cap, cork, jar, jar lid, can, beverage can, tin can, can end, aerosol can, tube, toothpaste tube,
carton, cardboard box, corrugated board, milk carton, egg carton, tray, blister pack, sachet, pouch, bag,
sack, shrink wrap, label, barcode, sticker, printed text, date code, envelope, paper cup, paper roll,
paper sheet, adhesive tape, pallet, drum, keg
"""
_MEDICINE = """
tablet, pill, capsule, gel capsule, ampoule, vial, syringe, needle, infusion bag, catheter, test tube,
pipette tip, petri dish, bandage, plaster, surgical mask, glove, contact lens, eyeglasses, dental crown,
implant, stent, inhaler, thermometer, soap, lipstick, cosmetic jar, diaper, cotton pad, razor
"""
_FOOD = """
biscuit, cookie, cracker, wafer biscuit, bread, loaf of bread, bun, bagel, croissant, cake, muffin, pizza,
tortilla, pasta, noodles, macaroni, rice, grain, wheat, corn, bean, coffee bean, cocoa bean, peanut, almond,
hazelnut, walnut, cashew, pistachio, pecan, raisin, date fruit, apple, pear, orange, lemon, banana, grape,
strawberry, cherry, peach, tomato, potato, carrot, onion, pepper, cucumber, lettuce, mushroom, olive, egg,
cheese, butter, sausage, ham, meat, chicken, fish fillet, shrimp, chocolate bar, chocolate, candy,
chewing gum, lollipop, ice cream, potato chip, cereal, sugar cube, tea bag, pet food
"""
_TEXTURES = """
fabric, woven fabric, knitted fabric, denim, felt, velvet, lace, nonwoven fabric, yarn, thread, rope,
carpet, rug, leather, artificial leather, wood, wood grain, wooden board, plywood, chipboard, veneer,
parquet, laminate, cork sheet, tile, ceramic tile, floor tile, roof tile, brick, concrete, asphalt, marble,
granite, stone slab, plasterboard, mortar, glass, glass pane, mirror glass, grid, mesh, net, paper,
wallpaper, paint, painted surface, coating, powder coating, chrome plating, brushed metal, polished metal,
rust-proof layer, sandpaper, sponge, insulation board
"""
_GOODS = """
shoe, sneaker, shoe sole, boot, shirt, trousers, sock, hat, bag handle, suitcase, wallet, belt, watch, ring,
necklace, cup, mug, plate, bowl, porcelain dish, drinking glass, wine glass, spoon, fork, table knife,
frying pan, cooking pot, kettle, toaster, vacuum cleaner, washing machine, refrigerator, oven door, candle,
lighter, match, pen, pencil, pencil eraser, crayon, scissors, stapler, book, magazine, banknote, coin,
playing card, key, lock, padlock, door handle, faucet, shower head, sink, toilet seat, chair, table leg,
drawer, mattress, pillow, brush, broom, bicycle frame, bicycle chain, golf ball, tennis racket, ski,
guitar string, umbrella, cigarette
"""


def _words(*groups: str) -> tuple[str, ...]:
    listed = (" ".join(word.split()) for group in groups for word in group.split(","))
    return tuple(dict.fromkeys(word for word in listed if word))


VOCABULARY: tuple[str, ...] = _words(
    _FASTENERS,
    _MECHANICS,
    _METAL,
    _ELECTRICS,
    _PLASTIC_AND_RUBBER,
    _PACKAGING,
    _MEDICINE,
    _FOOD,
    _TEXTURES,
    _GOODS,
)
"""Each noun once, in a fixed order."""
