"""Draws pictures whose text is known: receipts and labels, each the same whenever it is drawn."""

import dataclasses
import io
import random

from PIL import Image, ImageDraw, ImageFilter, ImageFont

SHOPS = ("CORNER BAKERY", "NORTH MARKET", "HARBOUR CAFE", "OLD TOWN BOOKS", "GREEN GROCER")
GOODS = ("Rye bread", "Butter", "Espresso", "Handbook", "Apples", "Honey", "Olive oil", "Notebook")
TOWNS = ("LISBON", "VIENNA", "OSLO", "MADRID", "DUBLIN", "PRAGUE", "ATHENS", "ZURICH")
PAPERS = ((255, 255, 255), (252, 248, 236), (238, 244, 250), (246, 240, 226))


@dataclasses.dataclass
class Picture:
    name: str
    data: bytes
    # What is written on it, from top to bottom.
    lines: list[str]


def draw(number: int) -> Picture:
    chance = random.Random(number)
    kind = chance.choice((receipt, label))
    return kind(number, chance)


def receipt(number, chance):
    lines = [chance.choice(SHOPS), f"Receipt {number:05}"]
    cents = 0
    for goods in chance.sample(GOODS, chance.randint(2, 4)):
        price = chance.randint(95, 4995)
        cents += price
        lines.append(f"{goods} {price // 100}.{price % 100:02}")
    lines.append(f"TOTAL {cents // 100}.{cents % 100:02}")
    return picture(f"receipt-{number:05}.png", lines, chance, width=360)


def label(number, chance):
    lines = [
        f"PARCEL {number:05}",
        f"TO {chance.choice(TOWNS)}",
        f"WEIGHT {chance.randint(1, 29)}.{chance.randint(0, 9)} KG",
        "".join(chance.choice("ACDEFHJKLMNPRTUVWXY3479") for _ in range(10)),
    ]
    return picture(f"label-{number:05}.png", lines, chance, width=400)


def picture(name, lines, chance, width):
    """Dark on paper, a little blurred and grainy, as a scanner has it."""
    size = chance.randint(22, 28)
    font = ImageFont.load_default(size)
    step = int(size * 1.9)
    paper = Image.new("RGB", (width, step * len(lines) + 30), chance.choice(PAPERS))
    pen = ImageDraw.Draw(paper)
    ink = (chance.randint(0, 60),) * 3
    left = chance.randint(18, 34)
    for row, line in enumerate(lines):
        pen.text((left, 18 + row * step), line, fill=ink, font=font)
    grain = random.Random(name)
    for _ in range(paper.width * paper.height // 900):
        spot = (grain.randrange(paper.width), grain.randrange(paper.height))
        paper.putpixel(spot, (grain.randint(185, 235),) * 3)
    paper = paper.filter(ImageFilter.GaussianBlur(0.5))
    file = io.BytesIO()
    paper.save(file, "PNG")
    return Picture(name, file.getvalue(), lines)


def same(expected, read):
    """Whether the text is the same but for blanks, of which the model loses some."""
    return "".join("".join(expected).split()) == "".join("".join(read).split())
