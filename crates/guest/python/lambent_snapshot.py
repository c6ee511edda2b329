"""SnapStart: the init runs once, and every environment goes on from where it ended.

For this code that moment is a fork: the parent is never heard of again, and each child finds itself in
an environment of its own, with what a fork leaves of a process. The platform sees to that.
"""

import os
import sys

import lambent_handler
import lambent_json
import lambent_log

# What this environment has beside the init's variables, as one line of JSON.
LINE = 1023
LINE_SIZE_MAX = 64 * 1024


def become_many(api, give_up):
    """Comes back in each environment. `give_up(error, tell)` reports a hook's failure and ends."""
    import gc

    try:
        _run_before_snapshot()
    except Exception as error:
        give_up(_fault("Runtime.BeforeSnapshotError", error), api.fail_init)
    lambent_log.flush()
    gc.collect()
    # What is alive now stays; counting it again in every environment would copy its pages.
    gc.freeze()
    api.restore_next()
    if os.fork():
        os._exit(1)
    _adopt(_read_line())
    _renew_chance()
    try:
        _run_after_restore()
    except Exception as error:
        give_up(_fault("Runtime.AfterRestoreError", error), api.fail_restore)
    lambent_log.flush()


def _fault(error_type, error):
    """The hook's own error, under the name that Lambda gives it."""
    import traceback

    trace = traceback.format_list([
        frame for frame in traceback.extract_tb(error.__traceback__)
        if os.path.dirname(frame.filename) != lambent_handler.RUNTIME_DIR])
    return lambent_handler.Fault(error_type, "%s: %s" % (type(error).__name__, error), trace)


def _hooks():
    """The module that the function registered its hooks with, its own or ours, if it did."""
    return sys.modules.get("snapshot_restore_py")


def _run_before_snapshot():
    hooks = _hooks()
    waiting = hooks.get_before_snapshot() if hooks else []
    while waiting:
        function, args, kwargs = waiting.pop()
        function(*args, **kwargs)


def _run_after_restore():
    hooks = _hooks()
    for function, args, kwargs in hooks.get_after_restore() if hooks else []:
        function(*args, **kwargs)


def _read_line():
    parts = []
    try:
        while sum(map(len, parts)) < LINE_SIZE_MAX:
            part = os.read(LINE, LINE_SIZE_MAX)
            if not part:
                break
            parts.append(part)
    finally:
        os.close(LINE)
    return lambent_json.decode(b"".join(parts))["env"]


def _adopt(variables):
    for name, value in variables.items():
        os.environ[name] = value


def _renew_chance():
    """No two environments draw the same: what a fork does not renew by itself is done here."""
    seed = os.urandom(64)
    ssl = sys.modules.get("_ssl")
    if ssl is not None:
        ssl.RAND_add(seed, float(len(seed)))
    random = sys.modules.get("random")
    if random is not None and hasattr(random, "seed"):
        random.seed()
    numpy = sys.modules.get("numpy.random")
    if numpy is not None and hasattr(numpy, "seed"):
        try:
            numpy.seed()
        except Exception:  # a generator that has no seed in this sense
            pass
