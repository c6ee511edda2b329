"""Events into Python values, results into JSON text, as Lambda's Python runtimes do it.

Those use the simplejson package, which differs from the standard library in what it takes: a
Decimal becomes a number, bytes become text, a named tuple becomes an object, and not-a-number is
written as NaN. The C halves of the standard library's json are used directly, so that the rest of
that package is loaded only to word an error.
"""

import _json
import marshal
import sys

# Text is escaped to ASCII up to Python 3.11 and left as it is from 3.12 on.
ASCII_ONLY = sys.version_info < (3, 12)

_CONSTANTS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_BLANK = b" \t\n\r"


class _Settings:
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = _CONSTANTS.__getitem__


_scan = _json.make_scanner(_Settings())


def decode(data):
    """Raises ValueError, worded by the standard library, for what is not JSON."""
    text = str(data, "utf-8")
    if text and text[0] not in " \t\n\r":
        try:
            value, end = _scan(text, 0)
            if end == len(text) or not text[end:].strip(" \t\n\r"):
                return value
        except StopIteration:
            pass
    import json

    return json.loads(text)


def encode(value, ascii_only=ASCII_ONLY):
    """Raises TypeError, ValueError or RecursionError for what has no JSON form."""
    try:
        # marshal knows the exact built-in types only and is quick: what it takes has no named
        # tuple in it, which the encoder below would mistake for a list.
        marshal.dumps(value, 2)
    except ValueError:
        value = _plain(value, set())
    try:
        return _dump(value, ascii_only)
    except TypeError:
        return _dump(_plain(value, set()), ascii_only)


def _dump(value, ascii_only):
    escape = _json.encode_basestring_ascii if ascii_only else _json.encode_basestring
    raw = []
    mark = []

    def default(item):
        if _is_decimal(item):
            if not item.is_nan():
                raw.append(str(item))
                if not mark:
                    import os

                    mark.append("\x00" + os.urandom(12).hex())
                return mark[0]
            return _CONSTANTS["NaN"]
        if isinstance(item, bytes):
            return str(item, "utf-8")
        fields = getattr(item, "_asdict", None)
        if callable(fields) and isinstance(fields(), dict):
            return fields()
        raise TypeError("Object of type %s is not JSON serializable" % type(item).__name__)

    encoder = _json.make_encoder(
        {}, default, escape, None, ": ", ", ", False, False, True)
    text = "".join(encoder(value, 0))
    return _put_back(text, escape(mark[0]), raw) if mark else text


def _put_back(text, mark, numbers):
    """Decimals have been written as a random text each; here their digits take its place."""
    parts = text.split(mark)
    joined = [parts[0]]
    for number, part in zip(numbers, parts[1:]):
        joined += (number, part)
    return "".join(joined)


def _plain(value, above):
    """Named tuples as objects and keys as text, all the way down."""
    if not isinstance(value, (dict, list, tuple)):
        return value
    if id(value) in above:
        raise ValueError("Circular reference detected")
    above.add(id(value))
    if isinstance(value, dict):
        plain = {_key(key): _plain(item, above) for key, item in value.items()}
    elif isinstance(value, tuple) and callable(getattr(value, "_asdict", None)):
        plain = {_key(key): _plain(item, above) for key, item in value._asdict().items()}
    else:
        plain = [_plain(item, above) for item in value]
    above.discard(id(value))
    return plain


def _key(key):
    if isinstance(key, bytes):
        return str(key, "utf-8")
    if key is not None and not isinstance(key, (str, int, float)):
        raise TypeError(
            "keys must be str, int, float, bool or None, not %s" % type(key).__name__)
    return key


def _is_decimal(item):
    decimal = sys.modules.get("decimal")
    return decimal is not None and isinstance(item, decimal.Decimal)
