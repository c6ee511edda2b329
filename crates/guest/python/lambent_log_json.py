"""Log records as Lambda's JSON log format has them. Loaded only where that format is chosen."""

import traceback

import lambent_json

_OWN_FIELDS = frozenset((
    "name", "msg", "args", "levelname", "levelno", "pathname", "filename", "module", "exc_info",
    "exc_text", "stack_info", "lineno", "funcName", "created", "msecs", "relativeCreated",
    "thread", "threadName", "processName", "process", "aws_request_id", "tenant_id"))


def formatter(logging):
    class JsonFormatter(logging.Formatter):
        def __init__(self):
            super().__init__(datefmt="%Y-%m-%dT%H:%M:%SZ")

        def format(self, record):
            return _encode(self._fields(record)) + "\n"

        def _fields(self, record):
            # Levels between the named ones count as the one below.
            level = min(50, max(0, record.levelno)) // 10 * 10
            kind, error, trace = record.exc_info or (None, None, None)
            failed = bool(record.exc_info)
            fields = {
                "timestamp": self.formatTime(record, self.datefmt),
                "level": logging.getLevelName(level),
                "message": record.getMessage(),
                "logger": record.name,
                "stackTrace": traceback.format_tb(trace) if failed else None,
                "errorType": kind.__name__ if kind else None,
                "errorMessage": str(error) if failed else None,
                "requestId": getattr(record, "aws_request_id", None),
                "location": "%s:%s:%s" % (record.pathname, record.funcName, record.lineno)
                if failed else None,
                "tenantId": getattr(record, "tenant_id", None),
            }
            for name, value in record.__dict__.items():
                if name not in _OWN_FIELDS and name not in fields:
                    fields[name] = value
            return {name: value for name, value in fields.items() if value is not None}

    return JsonFormatter()


def _encode(fields):
    try:
        return lambent_json.encode(fields, ascii_only=False)
    except (TypeError, ValueError):
        # A field that has no JSON form must not cost the record.
        return lambent_json.encode({
            name: value if isinstance(value, (str, int, float, list)) else str(value)
            for name, value in fields.items()}, ascii_only=False)
