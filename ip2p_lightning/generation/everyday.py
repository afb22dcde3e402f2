"""Triples in the manner of captions on the web, by rule: people, animals and things that the world does not draw.

The embedded world's captions speak of a few dozen things. A language model that is tuned on these, too, learns the
form of an edit rather than a vocabulary: most of a caption stays, the words that the instruction changes change.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from ip2p_lightning.data.randomness import addressed_random
from ip2p_lightning.generation.base import EditTriple

_PEOPLE = (
    *("woman", "man", "girl", "boy", "chef", "nurse", "farmer", "dancer", "teacher", "fisherman", "soldier"),
    *("musician", "child", "firefighter", "student", "old lady", "businessman", "surfer", "painter", "doctor"),
)
_FANTASTIC = ("robot", "knight", "astronaut", "clown", "skeleton", "wizard", "pirate", "statue", "superhero", "ghost")
_ANIMALS = (
    "dog",
    "cat",
    "horse",
    "rabbit",
    "fox",
    "lion",
    "parrot",
    "elephant",
    "bear",
    "goat",
    "owl",
    "tiger",
    "frog",
)
_THINGS = (
    *("car", "bicycle", "sofa", "dress", "handbag", "teapot", "guitar", "chair", "backpack", "lamp", "umbrella"),
    *("boat", "cake", "jacket", "vase", "watch", "door", "camera", "phone case", "mug", "T-shirt", "wedding ring"),
)
_COLOURS = ("red", "blue", "green", "yellow", "white", "black", "purple", "orange", "pink", "grey", "golden", "silver")
_LOOKS = ("young", "smiling", "elderly", "tall", "happy", "beautiful", "local", "famous", "tired", "handsome")
_DOINGS = (
    *("reading a book", "drinking coffee", "riding a bicycle", "walking", "playing the guitar", "sitting on a bench"),
    *("talking on the phone", "holding an umbrella", "taking a photo", "selling fruit", "looking at the camera"),
)
_CREATURE_DOINGS = (
    "sleeping",
    "running",
    "jumping over a fence",
    "eating",
    "looking out",
    "sitting",
    "playing with a ball",
)
_PLACES = (
    *("in the park", "on the beach", "in a kitchen", "at the market", "in New York", "on a street in Paris"),
    *("in the garden", "at the train station", "in front of a church", "in a cafe", "by the lake", "in the mountains"),
    *("on a farm", "in an office", "at the stadium", "in a forest", "on a bridge", "at the museum", "in the desert"),
)
_SPOTS = ("on a wooden table", "on a white background", "in the corner of a room", "on a shelf", "in a shop window")
_TITLES = (
    *("10 tips for a better night's sleep", "The best chocolate cookies I have ever made", "Summer Sale Poster"),
    *("Happy Birthday card with flowers", "New museum wing to open next year", "How to plan a small wedding"),
    *("Vintage map of the world wall art", "City council meets to discuss the new bridge", "Logo of a coffee company"),
    *("Set of hand drawn icons for web design", "Easy homemade pizza recipe for busy families"),
    *("Interior of the concert hall", "View over the old town", "Luxury hotel room with a view of the sea"),
    *("The football team celebrates the victory", "Abstract geometric background", "Fresh vegetables at the market"),
    *("Map of the walking trails", "Traditional festival in the village", "Ancient ruins of a Roman temple"),
    *("Modern living room design ideas", "Dark clouds over the harbour", "Portrait of the artist"),
)
_ENDINGS = (
    *(
        "",
        "",
        "",
        "",
        "",
        ".",
        ".",
        ".",
        " | by Maria Lopez.",
        " stock photo",
        ". Photo / John Smith",
        " - Free Shipping",
    ),
    *(
        ". Royalty free illustration",
        " (2019)",
        " | Daily News",
        ", May 2017. (Photo by A. Brown)",
        ". Stock illustration",
    ),
)
_SCENES = (
    *(("make it winter", "in the snow"), ("make it night", "at night"), ("make it sunset", "at sunset")),
    *(("add fog", "in thick fog"), ("make it rain", "in the rain"), ("make it autumn", "among autumn leaves")),
    *(("add a rainbow", "under a rainbow"), ("put it under water", "under water"), ("set it on fire", "in flames")),
    *(("move it to the moon", "on the moon"), ("let it be Christmas", "with Christmas lights")),
    *(("add fireworks", "with fireworks in the sky"), ("as if it were the 1920s", "in the 1920s")),
    *(
        ("add some flowers", "with flowers"),
        ("have it be in space", "in space"),
        ("make it sunny", "in bright sunshine"),
    ),
)
_MEDIA = (
    *(("make it a watercolor", "a watercolor of"), ("turn it into a cartoon", "a cartoon of")),
    *(("make it an oil painting", "an oil painting of"), ("as a pencil drawing", "a pencil drawing of")),
    *(("make it a black and white photo", "a black and white photo of"), ("make it a sculpture", "a sculpture of")),
    *(
        ("make it a mosaic", "a mosaic of"),
        ("make it out of lego", "a lego model of"),
        ("make it a poster", "a poster of"),
    ),
    *(("turn it into an embroidery", "an embroidery of"), ("as an anime", "an anime picture of")),
)
_STYLES = (
    "Van Gogh",
    "Picasso",
    "Monet",
    "a comic book",
    "a fairy tale",
    "art deco",
    "pop art",
    "a science fiction film",
)
_WORN = ("a hat", "sunglasses", "a red scarf", "a crown", "a leather jacket", "a mask", "a suit", "headphones")
_MATERIALS = ("glass", "wood", "gold", "stone", "chocolate", "paper", "ice", "marble")

Edit = tuple[str, str, str]
"""Caption, instruction, edited caption."""


class EverydayTriples:
    """Triples of invented captions.

    Triple ``index`` depends on (seed, index) alone.

    Args:
        count: number of triples.
        seed: another seed gives others.
    """

    name = "everyday grammar"
    licence = "CC0-1.0"

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count, self.seed = count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> EditTriple:
        if not 0 <= index < self.count:
            raise IndexError(f"triple {index} of {self.count}")
        rng = addressed_random("everyday", self.seed, index)
        make = rng.choice((_of_person, _of_animal, _of_thing, _of_any, _of_any))
        caption, instruction, edited = make(rng)
        ending = rng.choice(_ENDINGS)
        if rng.random() < 0.6:
            caption, edited = (text[0].upper() + text[1:] for text in (caption, edited))
        id = f"everyday-{self.seed}-{index}"
        return EditTriple(id, caption + ending, instruction, edited + ending, group=id)


def _a(words: str) -> str:
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def _other(choices: tuple[str, ...], old: str, rng: Random) -> str:
    return rng.choice([choice for choice in choices if choice != old])


def _of_person(rng: Random) -> Edit:
    look, who, doing, place = (rng.choice(words) for words in (_LOOKS, _PEOPLE, _DOINGS, _PLACES))

    def said(look: str = look, who: str = who, doing: str = doing, place: str = place, worn: str = "") -> str:
        return " ".join(word for word in (_a(f"{look} {who}"), worn and f"wearing {worn}", doing, place) if word)

    new = _other((*_PEOPLE, *_FANTASTIC), who, rng)
    worn, elsewhere = rng.choice(_WORN), _other(_PLACES, place, rng)
    edits = (
        (rng.choice((f"turn the {who} into {_a(new)}", f"make the {who} {_a(new)}")), said(who=new)),
        (rng.choice((f"give the {who} {worn}", f"have the {who} wear {worn}", f"add {worn}")), said(worn=worn)),
        (f"have it take place {elsewhere}", said(place=elsewhere)),
        (f"have the {who} be {(now := _other(_DOINGS, doing, rng))}", said(doing=now)),
    )
    return said(), *rng.choice(edits)


def _of_animal(rng: Random) -> Edit:
    animal, doing, place = (rng.choice(words) for words in (_ANIMALS, _CREATURE_DOINGS, _PLACES))
    colour = rng.choice(("", "", "brown ", "white ", "black "))
    new, elsewhere = _other(_ANIMALS, animal, rng), _other(_PLACES, place, rng)
    paint = _other(_COLOURS, colour.strip(), rng)
    caption = f"{_a(colour + animal)} {doing} {place}"
    edits = (
        (rng.choice((f"make it {_a(new)}", f"swap the {animal} for {_a(new)}")), f"{_a(colour + new)} {doing} {place}"),
        (f"make the {animal} {paint}", f"{_a(f'{paint} {animal}')} {doing} {place}"),
        (f"put it {elsewhere}", f"{_a(colour + animal)} {doing} {elsewhere}"),
    )
    return caption, *rng.choice(edits)


def _of_thing(rng: Random) -> Edit:
    colour, thing, spot = (rng.choice(words) for words in (_COLOURS, _THINGS, _SPOTS))
    paint, material, new = _other(_COLOURS, colour, rng), rng.choice(_MATERIALS), _other(_THINGS, thing, rng)
    edits = (
        (rng.choice((f"make the {thing} {paint}", f"paint it {paint}")), f"{_a(f'{paint} {thing}')} {spot}"),
        (f"make it out of {material}", f"{_a(f'{colour} {thing}')} made of {material} {spot}"),
        (f"replace the {thing} with {_a(new)}", f"{_a(f'{colour} {new}')} {spot}"),
    )
    return f"{_a(f'{colour} {thing}')} {spot}", *rng.choice(edits)


def _of_any(rng: Random) -> Edit:
    """An edit of the image as a whole, which also suits a caption that describes no image."""
    caption = rng.choice(_TITLES) if rng.random() < 0.5 else rng.choice(_OTHERS)(rng)[0]
    instruction, scene = rng.choice(_SCENES)
    command, medium = rng.choice(_MEDIA)
    style = rng.choice(_STYLES)
    edits = (
        (instruction, f"{caption} {scene}"),
        (command, f"{medium} {caption}"),
        (rng.choice((f"in the style of {style}", f"make it look like {style}")), f"{caption} in the style of {style}"),
    )
    return caption, *rng.choice(edits)


_OTHERS: tuple[Callable[[Random], Edit], ...] = (_of_person, _of_animal, _of_thing)
