"""The lines that Lambda itself writes to a function's log."""

import base64
import re

ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
START = re.compile(rf"^START RequestId: (?P<id>{ID}) Version: (?P<version>\S+)$", re.M)
END = re.compile(rf"^END RequestId: (?P<id>{ID})$", re.M)
REPORT = re.compile(
    rf"^REPORT RequestId: (?P<id>{ID})\t"
    r"Duration: (?P<duration>\d+\.\d\d) ms\t"
    r"Billed Duration: (?P<billed>\d+) ms\t"
    r"Memory Size: (?P<size>\d+) MB\t"
    r"Max Memory Used: (?P<used>\d+) MB\t"
    r"(?:Init Duration: (?P<init>\d+\.\d\d) ms\t)?",
    re.M,
)


def tail(response) -> str:
    """The end of the log that comes with an answer (`LogType=Tail`)."""
    return base64.b64decode(response["LogResult"]).decode()


def report(response) -> dict[str, str | None]:
    text = tail(response)
    match = REPORT.search(text)
    assert match, f"no REPORT line in:\n{text}"
    return match.groupdict()
