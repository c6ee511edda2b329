"""Turns an order into an invoice: line totals, VAT by rate, a number, in any currency.

Amounts are Decimal from the first digit to the last, rounded half up to the currency's smallest
unit, and travel as text: a float has no place in an invoice.
"""

import base64
import datetime
import decimal
import fcntl
import json
import logging
import os
from decimal import Decimal

log = logging.getLogger()
log.setLevel(logging.INFO)

# Digits after the point, where they are not two.
MINOR_UNITS = {"JPY": 0, "KRW": 0, "HUF": 0, "KWD": 3, "BHD": 3, "TND": 3}
LINES_MAX = 1000
AMOUNT_MAX = Decimal(10) ** 12
COUNTER = os.path.join(os.environ.get("TMPDIR", "/tmp"), "invoice-number")


class Invalid(Exception):
    """An order that is none, with all that is wrong with it."""

    def __init__(self, problems):
        super().__init__("%d problems" % len(problems))
        self.problems = problems


def handler(event, context):
    method = event.get("requestContext", {}).get("http", {}).get("method", "POST")
    if method == "GET":
        return answer(200, {"usage": "POST an order: currency, customer, lines of description, "
                                     "quantity, unit_price and vat_percent"})
    if method != "POST":
        return answer(405, {"error": "POST an order"}, {"allow": "GET, POST"})
    try:
        order = check(parse(event))
    except Invalid as error:
        log.warning("order refused: %s", json.dumps(error.problems))
        return answer(400, {"error": "the order is not valid", "problems": error.problems})
    invoice = {
        "number": next_number(context),
        "date": datetime.date.today().isoformat(),
        "customer": order["customer"],
        **total(order),
    }
    log.info("invoice %s for %s: %s %s on %d lines", invoice["number"], invoice["customer"],
             invoice["total"], invoice["currency"], len(invoice["lines"]))
    return answer(201, invoice)


def answer(status, body, headers=None):
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", **(headers or {})},
        "body": json.dumps(body, default=str, ensure_ascii=False),
    }


def parse(event):
    body = event.get("body") or ""
    try:
        if event.get("isBase64Encoded"):
            body = base64.b64decode(body).decode("utf-8")
        order = json.loads(body, parse_float=Decimal, parse_int=Decimal)
    except ValueError as error:
        raise Invalid([{"at": "", "problem": "not JSON: %s" % error}])
    if not isinstance(order, dict):
        raise Invalid([{"at": "", "problem": "must be an object"}])
    return order


def check(order):
    """The order with its amounts as Decimal; every problem is told at once."""
    problems = []

    def wrong(at, problem):
        problems.append({"at": at, "problem": problem})

    def number(at, value, low, high, default=None):
        if value is None and default is not None:
            return default
        try:
            if isinstance(value, str):
                value = Decimal(value)
        except decimal.InvalidOperation:
            value = None
        if not isinstance(value, Decimal) or not value.is_finite():
            wrong(at, "must be a number")
        elif not low <= value <= high:
            wrong(at, "must be from %s to %s" % (low, high))
        else:
            return value
        return Decimal(0)

    currency = order.get("currency", "EUR")
    if not (isinstance(currency, str) and len(currency) == 3 and currency.isascii()
            and currency.isupper()):
        wrong("currency", "must be three capital letters")
    customer = order.get("customer")
    if not isinstance(customer, str) or not customer.strip():
        wrong("customer", "must be a name")
    lines = order.get("lines")
    if not isinstance(lines, list) or not 0 < len(lines) <= LINES_MAX:
        wrong("lines", "must be a list of 1 to %d lines" % LINES_MAX)
        lines = []
    checked = []
    for index, line in enumerate(lines):
        at = "lines[%d]" % index
        if not isinstance(line, dict):
            wrong(at, "must be an object")
            continue
        if not isinstance(line.get("description"), str) or not line["description"].strip():
            wrong(at + ".description", "must be a text")
        checked.append({
            "description": line.get("description"),
            "quantity": number(at + ".quantity", line.get("quantity"), Decimal("0.001"),
                               Decimal(10) ** 6, Decimal(1)),
            "unit_price": number(at + ".unit_price", line.get("unit_price"), -AMOUNT_MAX, AMOUNT_MAX),
            "vat_percent": number(at + ".vat_percent", line.get("vat_percent"), Decimal(0),
                                  Decimal(100), Decimal(20)),
        })
    discount = number("discount_percent", order.get("discount_percent"), Decimal(0), Decimal(100),
                      Decimal(0))
    if problems:
        raise Invalid(problems)
    return {"currency": currency, "customer": customer.strip(), "lines": checked,
            "discount_percent": discount}


def total(order):
    """Net, VAT by rate and gross. VAT is taken of each rate's sum, as tax offices have it."""
    unit = Decimal(1).scaleb(-MINOR_UNITS.get(order["currency"], 2))

    def rounded(amount):
        return amount.quantize(unit, rounding=decimal.ROUND_HALF_UP)

    factor = 1 - order["discount_percent"] / 100
    lines = []
    nets = {}
    for line in order["lines"]:
        net = rounded(line["quantity"] * line["unit_price"] * factor)
        rate = line["vat_percent"].normalize()
        nets[rate] = nets.get(rate, Decimal(0)) + net
        lines.append({"description": line["description"], "quantity": line["quantity"],
                      "unit_price": line["unit_price"], "vat_percent": plain(rate), "net": net})
    vat = [{"percent": plain(rate), "net": net, "vat": rounded(net * rate / 100)}
           for rate, net in sorted(nets.items())]
    net = sum((entry["net"] for entry in vat), Decimal(0))
    tax = sum((entry["vat"] for entry in vat), Decimal(0))
    return {"currency": order["currency"], "lines": lines, "discount_percent":
            plain(order["discount_percent"].normalize()), "vat": vat, "net": net, "vat_total": tax,
            "total": net + tax}


def plain(number):
    return format(number, "f")


def next_number(context):
    """Counts in this environment's /tmp. As there may be many environments at once, the number
    carries which one it comes from; a database would count for all of them."""
    with open(COUNTER, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        count = int(file.read() or 0) + 1
        file.truncate(0)
        file.write(str(count))
    stream = getattr(context, "log_stream_name", None) or os.environ.get("HOSTNAME", "local")
    environment = "".join(letter for letter in stream if letter.isalnum())[-6:].upper()
    return "%s-%s-%04d" % (datetime.date.today().year, environment, count)
