"""Lambda's Python runtime: loads the user's handler and serves it with invocations.

Two ways in: run as a program, with the environment set; or imported by a zygote, which loads all
that every function needs, and then `main()` in the fork, with os.environ set. Nothing of the user's
code or environment is touched before main().

The work is in the modules beside this file: lambent_api (the Runtime API), lambent_handler,
lambent_json, lambent_context and lambent_log, and lambent_snapshot for functions with SnapStart.
"""

import os
import sys
import time

_HERE = os.path.dirname(os.path.abspath(__file__))
if _HERE not in sys.path:
    sys.path.insert(0, _HERE)

import lambent_api
import lambent_context
import lambent_handler
import lambent_json
import lambent_log

_STANDARD_PATH = [path for path in sys.path if path != _HERE]

if __name__ != "__main__":
    # In a zygote, what Lambda's own client loads is loaded once for all environments.
    import decimal  # noqa: F401
    import importlib  # noqa: F401
    import json  # noqa: F401
    import logging  # noqa: F401
    import traceback  # noqa: F401

    lambent_log.prepare()


def main():
    """Serves until the platform hangs up; ends by SystemExit."""
    try:
        _settle()
        api = lambent_api.RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
        snapshot = os.environ.pop("LAMBENT_SNAPSHOT", "") == "1"
        handler = _initialize(api)
        if snapshot:
            import lambent_snapshot

            lambent_snapshot.become_many(api, _give_up)
        serve(api, handler)
    except lambent_api.Closed:
        code = 0
    except lambent_api.Broken as error:
        print("[ERROR] %s" % error, file=sys.stderr)
        code = 1
    lambent_log.flush()
    sys.exit(code)


def serve(api, handler):
    while True:
        headers, event = api.next()
        request_id = headers.get(b"lambda-runtime-aws-request-id", b"")
        if not _is_id(request_id):
            raise lambent_api.Broken("the Runtime API gives a request id of %r" % request_id[:80])
        _enter_invocation(headers, request_id)
        try:
            body, content_type = _result(handler, headers, event)
        except Exception as error:
            _report(api, request_id, error)
            continue
        finally:
            lambent_log.flush()
        del event
        refusal = api.respond(request_id, body, content_type)
        if refusal is not None:
            _report_refusal(api, request_id, refusal)


def _settle():
    """What a process that Lambda starts finds done for it."""
    environ = os.environ
    # Reading the zone's file is not free, and Lambda's zone is UTC.
    if environ.get("TZ", "") not in ("", ":UTC", "UTC") or time.tzname[0] != "UTC":
        time.tzset()
    task_root = environ.get("LAMBDA_TASK_ROOT", "/var/task")
    try:
        os.chdir(task_root)
    except OSError:
        pass  # loading the handler says it better
    sys.path[:] = lambent_handler.search_path(
        task_root, environ.get("PYTHONPATH", ""), _STANDARD_PATH)
    # The user's code may have a module of this name.
    sys.modules.pop("bootstrap", None)
    _add_exit()
    # Python's own variables have passed by an isolated interpreter.
    if environ.get("PYTHONDONTWRITEBYTECODE"):
        sys.dont_write_bytecode = True
    lambent_log.settle()


def _add_exit():
    """The site module, which is not loaded, would give these to every program."""
    import builtins

    def exit(code=None):
        raise SystemExit(code)

    for name in ("exit", "quit"):
        if not hasattr(builtins, name):
            setattr(builtins, name, exit)


def _initialize(api):
    try:
        return lambent_handler.load(os.environ.get("_HANDLER", ""))
    except Exception as error:
        _give_up(error, api.fail_init)


def _give_up(error, tell):
    description, _ = lambent_handler.describe(error)
    _log_error(error, description)
    lambent_log.flush()
    tell(_bytes(description), description["errorType"])
    sys.exit(1)


def _enter_invocation(headers, request_id):
    lambent_log.request_id = request_id.decode("ascii")
    tenant_id = headers.get(b"lambda-runtime-aws-tenant-id")
    lambent_log.tenant_id = tenant_id.decode("utf-8", "replace") if tenant_id else None
    trace_id = headers.get(b"lambda-runtime-trace-id")
    if trace_id:
        os.environ["_X_AMZN_TRACE_ID"] = trace_id.decode("latin-1")
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)


def _result(handler, headers, event):
    """Calls the handler: the response's bytes and content type."""
    context = lambent_context.LambdaContext(
        headers,
        _json_header(headers, b"lambda-runtime-client-context", "Client Context"),
        _json_header(headers, b"lambda-runtime-cognito-identity", "Cognito Identity"),
    )
    if headers.get(b"content-type", b"application/json") == b"application/json":
        try:
            event = lambent_json.decode(event)
        except Exception as error:
            raise lambent_handler.Fault(
                "Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)
    result = handler(event, context)
    if isinstance(result, bytes):
        return result, b"application/unknown"
    try:
        return lambent_json.encode(result).encode("utf-8"), b"application/json"
    except Exception as error:
        raise lambent_handler.Fault(
            "Runtime.MarshalError", "Unable to marshal response: %s" % error)


def _json_header(headers, name, shown):
    text = headers.get(name)
    if not text:
        return None
    try:
        value = lambent_json.decode(text)
        if not isinstance(value, dict):
            raise ValueError("it is no object")
        return value
    except Exception as error:
        raise lambent_handler.Fault(
            "Runtime.LambdaContextUnmarshalError", "Unable to parse %s JSON: %s" % (shown, error))


def _report(api, request_id, error):
    description, frames = lambent_handler.describe(error, request_id.decode("ascii"))
    _log_error(error, description)
    api.fail(request_id, _bytes(description), description["errorType"],
             lambent_handler.cause(error, frames))


def _log_error(error, description):
    lambent_log.write_error(description)
    advice = lambent_handler.advice(error)
    if advice:
        lambent_log.write_warning(advice)


def _report_refusal(api, request_id, refusal):
    """A response was too large (413), or the invocation was over; both end it."""
    status, answer = refusal
    text = answer[:1000].decode("utf-8", "replace")
    description = {"errorMessage": text, "errorType": "Function.ResponseSizeTooLarge"}
    if status != 413:
        description["errorType"] = "Runtime.LambdaRuntimeClientError"
    try:
        said = lambent_json.decode(answer)
        description["errorMessage"] = said.get("errorMessage") or text
    except Exception:
        pass
    lambent_log.write_entry("[ERROR] %(errorType)s: %(errorMessage)s" % description)
    api.fail(request_id, _bytes(description), description["errorType"])


def _bytes(description):
    return lambent_json.encode(description).encode("utf-8")


def _is_id(request_id):
    return 0 < len(request_id) <= 256 and all(32 < byte < 127 for byte in request_id)


if __name__ == "__main__":
    main()
