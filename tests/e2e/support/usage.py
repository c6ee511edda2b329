"""The bill as `lambent usage --json` gives it, by function."""

import dataclasses
import json


@dataclasses.dataclass
class Usage:
    requests: int = 0
    billed_ms: int = 0
    gb_seconds: float = 0.0
    cost: float = 0.0


def usage(server, function: str) -> Usage:
    """What one function has used so far, over all its days and versions."""
    run = server.command_line("usage", "--json")
    assert run.returncode == 0, run.stderr
    total = Usage()
    for row in json.loads(run.stdout)["usage"]:
        if row["function"] == function:
            total.requests += row["requests"]
            total.billed_ms += row["billed_ms"]
            total.gb_seconds += row["gb_seconds"]
            total.cost += float(row["cost"])
    return total
