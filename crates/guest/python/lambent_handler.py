"""Finds the user's handler and words what goes wrong, as Lambda's Python runtimes do."""

import os
import sys

import lambent_json

RUNTIME_DIR = os.path.dirname(os.path.abspath(__file__))


class Fault(Exception):
    """An error with one of Lambda's own types, `Runtime.…`."""

    def __init__(self, error_type, message, trace=None):
        super().__init__(message)
        self.error_type = error_type
        self.trace = trace


def search_path(task_root, python_path, standard, opt="/opt"):
    """sys.path in Lambda's order: the function, its layers, the runtime, the standard library."""
    version = "python%d.%d" % sys.version_info[:2]
    paths = [task_root, "%s/python/lib/%s/site-packages" % (opt, version), "%s/python" % opt]
    paths += [path for path in python_path.split(":") if path]
    paths += [RUNTIME_DIR]
    paths += standard
    return list(dict.fromkeys(paths))


def load(handler):
    """The handler function. `handler` is `module.function`; dots and slashes lead into packages."""
    module_name, dot, function_name = handler.rpartition(".")
    if not dot:
        raise Fault("Runtime.MalformedHandlerName",
                    "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % handler)
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault("Runtime.BuiltInModuleConflict",
                    "Cannot use built-in module %s as a handler module" % module_name)
    import importlib

    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError",
                    "Unable to import module '%s': %s" % (module_name, error))
    except SyntaxError as error:
        raise Fault("Runtime.UserCodeSyntaxError",
                    "Syntax error in module '%s': %s" % (module_name, error),
                    ['  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)])
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound",
                    "Handler '%s' missing on module '%s'" % (function_name, module_name))


def describe(error, request_id=""):
    """What is reported of an exception, in Lambda's form, and its frames."""
    if isinstance(error, Fault):
        return _error(_said(error), error.error_type, error.trace or [], request_id), []
    import traceback

    frames = [(frame.filename, frame.lineno, frame.name, frame.line)
              for frame in traceback.extract_tb(error.__traceback__)]
    for index, frame in enumerate(frames):
        # The runtime's own frames are none of the function's business.
        if os.path.dirname(frame[0]) != RUNTIME_DIR:
            frames = frames[index:]
            break
    return _error(_said(error), type(error).__name__, traceback.format_list(frames),
                  request_id), frames


def advice(error):
    """What helps against an error that the same code does not have in Lambda."""
    for known in (error, error.__cause__, error.__context__):
        if isinstance(known, ModuleNotFoundError):
            package = (known.name or "").partition(".")[0]
            if package in _OF_LAMBDAS_RUNTIME:
                return (
                    "%s is not a part of this runtime, as it is of Lambda's own. Put it into the "
                    "function's package: pip install --target . %s" % (package, package))
    return None


_OF_LAMBDAS_RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath")


def cause(error, frames):
    """The same for X-Ray, as the text of a header."""
    files = []
    stack = []
    for path, line, label, _ in frames:
        stack.append({"label": label, "path": path, "line": line})
        if path not in files:
            files.append(path)
    kind = "LambdaValidationError" if isinstance(error, Fault) else type(error).__name__
    return lambent_json.encode({
        "working_directory": os.getcwd(),
        "exceptions": [{"message": _said(error), "type": kind, "stack": stack}],
        "paths": files,
    }, ascii_only=True).encode("ascii")


def _error(message, error_type, trace, request_id):
    return {"errorMessage": message, "errorType": error_type, "requestId": request_id,
            "stackTrace": [_unpaired(frame) for frame in trace]}


def _unpaired(text):
    """Half a surrogate pair is neither UTF-8 nor JSON that everything reads: an error must be."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _said(error):
    try:
        return _unpaired(str(error))
    except Exception:
        return "the exception could not be turned into text"
