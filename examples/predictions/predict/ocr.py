"""Reads the text in a picture with two of the PP-OCR models: one finds the lines, one reads each.

The lines are upright boxes: this is for labels, receipts and scans, not for photographs of street
signs. What the models were trained with decides the constants.
"""

import dataclasses
import io
import os

import numpy
import onnxruntime
from PIL import Image, ImageOps

# Pictures are brought to at most so many pixels a side before lines are looked for.
SIDE_MAX = 960
# Decoding is refused beyond this many pixels: a small file can be an enormous picture.
PIXELS_MAX = 40_000_000
# The network that finds lines halves its input five times.
STRIDE = 32
# How sure it is that a pixel belongs to text, and over a line in the mean.
PIXEL_SCORE_MIN = 0.3
LINE_SCORE_MIN = 0.5
# It was trained to mark the lines' cores: the boxes grow by this much, as its authors did.
UNCLIP_RATIO = 1.6
LINE_PIXELS_MIN = 3
LINES_MAX = 200
LINE_HEIGHT = 48
LINE_WIDTH_MIN = 320
LINES_AT_ONCE = 6
# Less sure than this, and it is no text.
TEXT_SCORE_MIN = 0.5


class NoPicture(ValueError):
    """The bytes are no picture that can be decoded."""


@dataclasses.dataclass
class Line:
    text: str
    # 0 to 1: the mean over the letters.
    confidence: float
    # Left, top, right, bottom, in pixels of the picture.
    box: tuple[int, int, int, int]


class Reader:
    def __init__(self, models, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(threads, os.cpu_count() or 1)
        options.inter_op_num_threads = 1
        # Threads that wait by turning would take the CPU from those that work: an environment has
        # as much of it as its memory buys.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")

        def session(name):
            path = os.path.join(models, name)
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

        self.detector = session("ch_PP-OCRv4_det_infer.onnx")
        self.recognizer = session("ch_PP-OCRv4_rec_infer.onnx")
        letters = self.recognizer.get_modelmeta().custom_metadata_map["character"]
        # The first class of the network is "no letter", the last is the blank.
        self.letters = ["", *letters.splitlines(), " "]

    def read(self, data):
        """The lines of a picture, from top to bottom; NoPicture if it is none."""
        picture = decoded(data)
        boxes = in_reading_order(self.find(picture))
        crops = [picture.crop(box) for box in boxes]
        lines = [
            Line(text, confidence, box)
            for box, (text, confidence) in zip(boxes, self.recognize(crops))
        ]
        return [line for line in lines if line.text and line.confidence >= TEXT_SCORE_MIN]

    def find(self, picture):
        """Where lines of text are."""
        width, height = picture.size
        scale = min(1.0, SIDE_MAX / max(width, height))
        size = [max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in picture.size]
        pixels = normalized(picture.resize(size, Image.Resampling.BILINEAR))
        (scores,) = self.detector.run(None, {"x": pixels[None]})
        found = lines_in(scores[0, 0])
        across, down = width / size[0], height / size[1]
        boxes = []
        for left, top, right, bottom in found[:LINES_MAX]:
            box = (left * across, top * down, right * across, bottom * down)
            box = [round(edge) for edge in box]
            box = (max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3]))
            if box[2] - box[0] >= LINE_PIXELS_MIN and box[3] - box[1] >= LINE_PIXELS_MIN:
                boxes.append(box)
        return boxes

    def recognize(self, crops):
        """The text of each line and how sure it is. Lines of like widths are read together."""
        read = [("", 0.0)] * len(crops)
        widths = [crop.width / crop.height for crop in crops]
        order = sorted(range(len(crops)), key=widths.__getitem__)
        for begin in range(0, len(order), LINES_AT_ONCE):
            batch = order[begin : begin + LINES_AT_ONCE]
            width = max(LINE_WIDTH_MIN, int(numpy.ceil(LINE_HEIGHT * widths[batch[-1]])))
            pixels = numpy.zeros((len(batch), 3, LINE_HEIGHT, width), numpy.float32)
            for row, index in enumerate(batch):
                own = min(width, max(1, int(numpy.ceil(LINE_HEIGHT * widths[index]))))
                crop = crops[index].resize((own, LINE_HEIGHT), Image.Resampling.BILINEAR)
                pixels[row, :, :, :own] = normalized(crop)
            (scores,) = self.recognizer.run(None, {"x": pixels})
            for row, index in enumerate(batch):
                read[index] = self.decode(scores[row])
        return read

    def decode(self, scores):
        """From a letter for each step along the line to text: what repeats is one letter."""
        classes = scores.argmax(axis=1)
        kept = classes != 0
        kept[1:] &= classes[1:] != classes[:-1]
        if not kept.any():
            return "", 0.0
        text = "".join(self.letters[index] for index in classes[kept])
        return text.strip(), float(scores.max(axis=1)[kept].mean())


def decoded(data):
    try:
        picture = Image.open(io.BytesIO(data))
        if picture.width * picture.height > PIXELS_MAX:
            raise NoPicture(f"{picture.width} x {picture.height} pixels are too many")
        return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise NoPicture(str(error)) from error


def normalized(picture):
    """Planes of blue, green and red from -1 to 1."""
    pixels = numpy.asarray(picture, numpy.float32)[:, :, ::-1].transpose(2, 0, 1)
    return pixels / 127.5 - 1


def lines_in(scores):
    """Boxes around the connected regions of pixels that are text, grown to the lines' size."""
    boxes = []
    for left, top, right, bottom in regions(scores > PIXEL_SCORE_MIN):
        width, height = right - left, bottom - top
        region = scores[top:bottom, left:right]
        marked = region[region > PIXEL_SCORE_MIN]
        if min(width, height) < LINE_PIXELS_MIN or marked.mean() < LINE_SCORE_MIN:
            continue
        grow = width * height * UNCLIP_RATIO / (2 * (width + height))
        boxes.append((left - grow, top - grow, right + grow, bottom + grow))
    return boxes


def regions(mask):
    """The bounding boxes of the connected regions of a mask. Works on the runs of each row, of
    which there are few, and joins those that touch one of the row before."""
    padded = numpy.zeros((mask.shape[0], mask.shape[1] + 2), numpy.int8)
    padded[:, 1:-1] = mask
    edges = numpy.diff(padded, axis=1)
    parent, boxes = [], []

    def root(label):
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = parent[label]
        return label

    before = []
    for y in range(mask.shape[0]):
        begins = numpy.flatnonzero(edges[y] == 1)
        ends = numpy.flatnonzero(edges[y] == -1)
        row = []
        for begin, end in zip(begins.tolist(), ends.tolist()):
            own = len(parent)
            parent.append(own)
            boxes.append((begin, y, end, y + 1))
            for other_begin, other_end, other in before:
                if other_begin <= end and begin <= other_end:
                    own, other = root(own), root(other)
                    if own != other:
                        parent[own] = other
                        boxes[other] = around(boxes[own], boxes[other])
                        own = other
            row.append((begin, end, own))
        before = row
    return [boxes[label] for label in range(len(parent)) if parent[label] == label]


def around(one, other):
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )


def in_reading_order(boxes):
    """From top to bottom, and what is beside each other from left to right."""
    rows = []
    for box in sorted(boxes, key=lambda box: box[1] + box[3]):
        middle = (box[1] + box[3]) / 2
        if rows and rows[-1][0][1] < middle < rows[-1][0][3]:
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row)]
