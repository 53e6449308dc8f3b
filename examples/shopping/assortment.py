"""What the made-up shop sells: kinds of things with their models, and what people buy them for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of thing: its category, what is said of all its models, the price of the cheapest and the dearest."""

    category: str
    said: str
    cheapest: int
    dearest: int
    models: tuple[str, ...]
    consumable: bool = False


KINDS: dict[str, Kind] = {
    "tent": Kind(
        "Camping",
        "A shelter with taped seams and a porch for wet boots.",
        119,
        640,
        ("one-person", "two-person", "three-person tunnel", "four-person family", "winter", "ultralight"),
    ),
    "sleeping bag": Kind(
        "Camping",
        "Warm, with a hood and a two-way zip.",
        49,
        320,
        ("summer", "three-season", "winter down", "children's", "double", "ultralight down"),
    ),
    "sleeping mat": Kind(
        "Camping",
        "Keeps the cold of the ground away and rolls up small.",
        19,
        160,
        ("foam", "self-inflating", "insulated air", "double", "short"),
    ),
    "camp stove": Kind(
        "Camping",
        "Boils half a litre of water in a few minutes, also in wind.",
        25,
        140,
        ("gas", "petrol", "alcohol", "two-burner", "folding wood"),
    ),
    "gas cartridge": Kind(
        "Camping", "Fits every screw-on stove.", 5, 12, ("small", "medium", "large", "cold-weather"), consumable=True
    ),
    "head torch": Kind(
        "Camping",
        "Light for both hands, with a red mode that blinds nobody.",
        15,
        110,
        ("compact", "rechargeable", "long-range", "children's"),
    ),
    "rucksack": Kind(
        "Hiking",
        "A padded hip belt carries the load, a cover keeps the rain off.",
        59,
        310,
        ("20 litre day", "35 litre", "55 litre", "70 litre expedition", "women's 45 litre", "child carrier"),
    ),
    "walking boots": Kind(
        "Hiking",
        "Ankle-high, with a sole that grips wet rock.",
        89,
        290,
        ("leather", "light", "waterproof", "winter", "children's"),
    ),
    "trekking poles": Kind(
        "Hiking", "Spare the knees on the way down.", 29, 150, ("aluminium", "carbon", "folding", "shock-absorbing")
    ),
    "water filter": Kind(
        "Hiking", "Clean water from any stream.", 29, 120, ("squeeze", "pump", "gravity", "bottle with")
    ),
    "rain jacket": Kind(
        "Rainwear",
        "Waterproof and breathable, with taped seams.",
        69,
        420,
        ("light", "three-layer", "children's", "women's", "packable", "long"),
    ),
    "rain trousers": Kind("Rainwear", "Go on over boots.", 39, 190, ("light", "full-zip", "children's", "three-layer")),
    "umbrella": Kind("Rainwear", "Stands a gale.", 15, 70, ("trekking", "folding", "large", "children's")),
    "running shoes": Kind(
        "Running",
        "Soft landing for long roads.",
        79,
        210,
        ("daily", "cushioned", "racing", "stability", "wide", "women's daily"),
    ),
    "trail shoes": Kind(
        "Running", "Lugs for mud, a plate against stones.", 89, 200, ("light", "waterproof", "long-distance", "women's")
    ),
    "running vest": Kind("Running", "Carries water without bouncing.", 45, 150, ("5 litre", "8 litre", "12 litre")),
    "sports watch": Kind(
        "Running",
        "Counts heartbeats, kilometres and hours of sleep.",
        99,
        690,
        ("simple", "GPS", "triathlon", "solar", "women's"),
    ),
    "energy gel": Kind(
        "Running",
        "Twenty-five grams of sugar that go down while running.",
        2,
        4,
        ("lemon", "salted caramel", "caffeine", "berry", "neutral"),
        consumable=True,
    ),
    "chef's knife": Kind(
        "Kitchen",
        "One knife for nearly everything.",
        29,
        260,
        ("20 cm", "Japanese", "carbon steel", "small", "left-handed"),
    ),
    "frying pan": Kind(
        "Kitchen", "Heats evenly, goes into the oven.", 25, 170, ("cast iron", "steel", "coated", "copper", "crêpe")
    ),
    "stock pot": Kind("Kitchen", "For soup, pasta and jam.", 29, 150, ("5 litre", "8 litre", "12 litre", "pressure")),
    "espresso machine": Kind(
        "Coffee",
        "Nine bars, a warm cup shelf and a steam wand.",
        119,
        1_450,
        ("lever", "compact", "two-boiler", "automatic"),
    ),
    "coffee grinder": Kind("Coffee", "Steel burrs from fine to coarse.", 39, 480, ("hand", "electric", "single-dose")),
    "kettle": Kind("Coffee", "Pours where it should.", 25, 190, ("gooseneck", "electric", "travel", "stovetop")),
    "coffee beans": Kind(
        "Coffee",
        "Roasted last week, a pound.",
        9,
        19,
        ("Ethiopian", "Brazilian", "espresso blend", "decaffeinated", "Colombian"),
        consumable=True,
    ),
    "raised bed": Kind("Garden", "Larch, no back pain.", 49, 240, ("small", "long", "corner", "on legs")),
    "watering can": Kind("Garden", "A fine rose for seedlings.", 9, 60, ("zinc", "5 litre", "indoor", "children's")),
    "pruning shears": Kind("Garden", "Clean cuts heal.", 12, 90, ("bypass", "anvil", "left-handed", "long-reach")),
    "vegetable seeds": Kind(
        "Garden",
        "Open-pollinated, for a bed of two metres.",
        2,
        5,
        ("tomato", "courgette", "lettuce", "runner bean", "carrot", "pumpkin"),
        consumable=True,
    ),
    "compost bin": Kind("Garden", "Turns peelings into soil.", 29, 180, ("wooden", "tumbling", "worm")),
    "desk": Kind("Home office", "Stands firm, hides cables.", 129, 790, ("standing", "corner", "folding", "oak")),
    "office chair": Kind(
        "Home office", "Supports the back where it bends.", 89, 940, ("mesh", "kneeling", "leather", "saddle")
    ),
    "desk lamp": Kind("Home office", "Warm or cold light, no flicker.", 25, 210, ("clamp", "LED", "architect's")),
    "keyboard": Kind("Home office", "For ten fingers all day.", 29, 240, ("mechanical", "split", "quiet", "compact")),
    "monitor arm": Kind("Home office", "Frees the desk.", 35, 190, ("single", "double", "gas-spring")),
}

BRANDS: dict[str, tuple[str, ...]] = {
    "Camping": ("Northfell", "Tarn & Ridge", "Osprey Hollow"),
    "Hiking": ("Northfell", "Tarn & Ridge", "Granite Goods"),
    "Rainwear": ("Northfell", "Wetherby", "Granite Goods"),
    "Running": ("Fleetline", "Kestrel", "Granite Goods"),
    "Kitchen": ("Brasserie 12", "Ironmoor", "Hearth"),
    "Coffee": ("Brasserie 12", "Moka Works", "Hearth"),
    "Garden": ("Greenholt", "Ironmoor", "Allotment Co."),
    "Home office": ("Studio Line", "Plainwork", "Hearth"),
}

# What people come for: kinds in about the order in which they buy them.
PROJECTS: tuple[tuple[str, ...], ...] = (
    (
        *("rucksack", "tent", "sleeping bag", "sleeping mat", "camp stove", "gas cartridge"),
        *("head torch", "water filter", "rain jacket"),
    ),
    ("walking boots", "rucksack", "trekking poles", "rain jacket", "rain trousers", "water filter", "umbrella"),
    ("running shoes", "sports watch", "energy gel", "running vest", "trail shoes", "rain jacket"),
    ("chef's knife", "frying pan", "stock pot", "kettle"),
    ("espresso machine", "coffee grinder", "coffee beans", "kettle"),
    ("raised bed", "vegetable seeds", "watering can", "pruning shears", "compost bin"),
    ("desk", "office chair", "monitor arm", "desk lamp", "keyboard"),
)
