"""Every kind of thing at the open level: its variants, where it may be, how large it is, what can be changed on it."""

from __future__ import annotations

from dataclasses import dataclass

GENDERS = ("man", "woman")
TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
"""Skin tones, as Unicode orders them (U+1F3FB to U+1F3FF)."""
PAINTED = ("red", "blue", "yellow", "purple", "green", "orange", "pink", "white")
"""Colours of what can be painted; names of `world.palette.PAINTS`."""


@dataclass(frozen=True)
class Kind:
    """Properties shared by all things of one kind.

    Args:
        variants: code points of the sprites that show one; which of them it is stays open. Empty for people.
        family: "animal", "plant", "building", "vehicle", "boat", "sky", "object", "face", "worker" or "person".
        height: height at size "large", as a share of the image's side; "small" is `SMALL` of it.
        paints: colours that it may have; empty where it keeps its own.
        plural: name for several; "" adds an s.
    """

    variants: tuple[str, ...]
    family: str
    height: float
    paints: tuple[str, ...] = ()
    plural: str = ""


SMALL = 0.58
"""Height of a small thing as a share of a large one's."""
SPREAD = 0.1
"""Heights of one size are spread evenly over this share to either side."""


def _kinds(family: str, height: float, **variants: str) -> dict[str, Kind]:
    return {name.replace("_", " "): Kind(tuple(points.split()), family, height) for name, points in variants.items()}


_BUILDINGS = _kinds(
    "building",
    0.56,
    house="1f3e0 1f3e1 1f6d6 1f3da-fe0f",
    castle="1f3f0 1f3ef",
    office="1f3e2 1f3ec",
    school="1f3eb",
    church="26ea",
)
_ANIMALS = _kinds(
    "animal",
    0.47,
    cat="1f408 1f408-200d-2b1b 1f431",
    dog="1f415 1f9ae 1f429 1f436",
    cow="1f404 1f402 1f42e",
    horse="1f40e 1f434",
    sheep="1f411 1f40f",
    pig="1f416 1f437",
    chicken="1f413 1f414",
    duck="1f986",
    penguin="1f427",
    owl="1f989",
    elephant="1f418 1f9a3",
    lion="1f981",
    tiger="1f405 1f42f",
    bear="1f43b 1f43c",
    fox="1f98a",
    rabbit="1f407 1f430",
    monkey="1f412 1f435",
    frog="1f438",
    dinosaur="1f995 1f996",
)
_PLANTS = _kinds(
    "plant",
    0.56,
    tree="1f333 1f332",
    palm="1f334",
    cactus="1f335",
    flower="1f339 1f33b 1f33c",
    mushroom="1f344",
)
_VEHICLES = _kinds(
    "vehicle",
    0.42,
    bus="1f68c 1f68e 1f690",
    truck="1f69a 1f69b 1f6fb",
    train="1f682 1f68b",
    tractor="1f69c",
)
_OBJECTS = _kinds(
    "object",
    0.42,
    snowman="26c4",
    pumpkin="1f383",
    ghost="1f47b",
    robot="1f916",
    ball="26bd 1f3c0 1f3d0",
    apple="1f34e 1f34f",
    cake="1f382 1f370 1f9c1",
    guitar="1f3b8",
    teddy="1f9f8",
)
_SKY = _kinds(
    "sky",
    0.3,
    plane="2708-fe0f 1f6e9-fe0f",
    rocket="1f680",
    helicopter="1f681",
    kite="1fa81",
    butterfly="1f98b",
    bee="1f41d",
)
_PAINTED = {
    "car": Kind(("1f697", "1f699"), "vehicle", 0.42, PAINTED),
    "tent": Kind(("26fa",), "building", 0.46, PAINTED),
    "tulip": Kind(("1f337",), "plant", 0.5, PAINTED),
    "gift": Kind(("1f381",), "object", 0.42, PAINTED),
    "book": Kind(("1f4d5",), "object", 0.42, PAINTED),
    "cap": Kind(("1f9e2",), "object", 0.4, PAINTED),
    "balloon": Kind(("1f388",), "sky", 0.34, PAINTED),
    "boat": Kind(("26f5", "1f6a4", "1f6e5-fe0f"), "boat", 0.46),
}
WORKERS: dict[str, str] = {
    "cook": "1f373",
    "farmer": "1f33e",
    "mechanic": "1f527",
    "doctor": "2695-fe0f",
    "judge": "2696-fe0f",
    "pilot": "2708-fe0f",
    "astronaut": "1f680",
    "firefighter": "1f692",
    "scientist": "1f52c",
    "singer": "1f3a4",
    "painter": "1f3a8",
    "graduate": "1f393",
    "manager": "1f4bc",
    "welder": "1f3ed",
    "police officer": "1f46e",
    "builder": "1f477",
    "guard": "1f482",
    "detective": "1f575",
    "superhero": "1f9b8",
}
"""Professions and the code point that Unicode joins to a man or a woman; the last five are joined to a sign."""
_SIGNED = ("police officer", "builder", "guard", "detective", "superhero")
HAIR: dict[str, str] = {"dark": "", "red": "1f9b0", "curly": "1f9b1", "white": "1f9b3", "no": "1f9b2", "blond": "1f471"}
"""Hair of people without a profession."""
FACES: dict[str, tuple[str, ...]] = {
    "happy": ("1f600", "1f604"),
    "laughing": ("1f602",),
    "loving": ("1f60d",),
    "cool": ("1f60e",),
    "sad": ("1f641", "1f61f"),
    "crying": ("1f62d",),
    "angry": ("1f620", "1f621"),
    "surprised": ("1f62e",),
    "sleeping": ("1f634",),
    "sick": ("1f922",),
}
"""Expressions of a smiley and the sprites that show them."""
HATS: dict[str, str] = {"crown": "1f451", "top hat": "1f3a9", "cap": "1f9e2", "straw hat": "1f452"}
"""Things that smileys and people may wear on their heads."""

KINDS: dict[str, Kind] = {
    **_BUILDINGS,
    **_ANIMALS,
    **_PLANTS,
    **_VEHICLES,
    **_OBJECTS,
    **_SKY,
    **_PAINTED,
    "smiley": Kind((), "face", 0.46),
    "person": Kind((), "person", 0.64, PAINTED, plural="people"),
    **{name: Kind((), "worker", 0.64) for name in WORKERS},
}
PLURALS = {"sheep": "sheep", "bus": "buses", "fox": "foxes", "butterfly": "butterflies", "teddy": "teddies"}


def worker_sprite(profession: str, gender: str, tone: str) -> str:
    """Code points of a profession's sprite."""
    skin = f"{0x1F3FB + TONES.index(tone):x}"
    if profession in _SIGNED:
        return f"{WORKERS[profession]}-{skin}-200d-{'2642' if gender == 'man' else '2640'}-fe0f"
    return f"{'1f468' if gender == 'man' else '1f469'}-{skin}-200d-{WORKERS[profession]}"


def person_sprite(hair: str, gender: str, tone: str) -> str:
    """Code points of the head of somebody without a profession."""
    skin, head = f"{0x1F3FB + TONES.index(tone):x}", "1f468" if gender == "man" else "1f469"
    if hair == "blond":
        return f"1f471-{skin}-200d-{'2642' if gender == 'man' else '2640'}-fe0f"
    return f"{head}-{skin}" + (f"-200d-{HAIR[hair]}" if HAIR[hair] else "")


def all_sprites() -> list[str]:
    """Code points of every sprite that the level shows, sorted."""
    pairs = [(gender, tone) for gender in GENDERS for tone in TONES]
    people = {worker_sprite(name, *pair) for name in WORKERS for pair in pairs}
    people |= {person_sprite(hair, *pair) for hair in HAIR for pair in pairs}
    things = {point for kind in KINDS.values() for point in kind.variants}
    return sorted(things | people | {point for points in FACES.values() for point in points} | set(HATS.values()))
