"""What a function says: stdout, stderr, the root logger, and errors.

One entry is one log event. A line goes out as it is; an entry of several lines goes out framed on
the same descriptor where the platform reads frames (LAMBENT_LOG_FRAMES=1), else with carriage
returns inside, as Lambda does. A frame is a header of 16 bytes, big-endian: 0xa55a0003, the
message's length (u32), microseconds since the epoch (i64); then the message.
"""

import io
import os
import sys
import time

FRAME_MAGIC = 0xA55A0003
# No-break spaces keep the indentation of a traceback in log viewers, as Lambda has them.
INDENT = "\u00a0"

_framed = False
_json_format = False
_level = ""
_streams = ()
_handler = None
request_id = None
tenant_id = None


class LineStream(io.TextIOWrapper):
    """Hands every finished line to the kernel at once, so that nothing printed is lost when the
    environment is killed; print() of a line stays one write."""

    mid_line = False

    def write(self, text):
        count = super().write(text)
        if text:
            self.mid_line = text[-1] != "\n"
        else:
            self.flush()  # print(..., end="") ends with an empty write
        return count


def prepare():
    """What a zygote can do for all environments: all that their settings have no part in."""
    global _streams
    _streams = (_stream(1, "surrogateescape", "<stdout>"), _stream(2, "backslashreplace", "<stderr>"))
    if "logging" in sys.modules:
        _set_up_logging()


def settle():
    """Takes the settings from the environment and puts the streams and the root logger up."""
    global _framed, _json_format, _level
    environ = os.environ
    _framed = environ.pop("LAMBENT_LOG_FRAMES", "") == "1"
    _json_format = environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
    _level = environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    if _level == "TRACE":
        _level = "DEBUG"
    if not _streams:
        prepare()
    sys.stdout, sys.stderr = _streams
    if "logging" in sys.modules:
        _settle_logging(sys.modules["logging"])
    else:
        sys.meta_path.insert(0, _WhenLoggingComes)


def _stream(fd, errors, name):
    raw = io.FileIO(fd, "w", closefd=False)
    raw.name = name
    return LineStream(io.BufferedWriter(raw), "utf-8", errors, line_buffering=True)


def flush():
    for stream in _streams:
        stream.flush()
    for stream in (sys.stdout, sys.stderr):
        if stream not in _streams and stream is not None:
            try:
                stream.flush()
            except Exception:  # the function's own stream: whatever it does is its affair
                pass


def write_entry(text):
    """One log event."""
    stream = _streams[0]
    stream.flush()
    if text.endswith("\n"):
        body = text[:-1]
    else:
        body = text
    if "\n" not in body:
        data = body.encode("utf-8", "backslashreplace") + b"\n"
    elif _framed:
        data = _frame(text)
    else:
        data = body.replace("\n", "\r").encode("utf-8", "backslashreplace") + b"\n"
    if stream.mid_line:
        stream.mid_line = False
        data = b"\n" + data
    _write(data)


def write_text(text):
    """What context.log is given: it has no line of its own in Lambda unless it brings one."""
    if _framed or text.endswith("\n"):
        write_entry(text)
    else:
        sys.stdout.write(text)
        sys.stdout.flush()


def _frame(text):
    message = text.encode("utf-8", "backslashreplace")
    return b"".join((
        FRAME_MAGIC.to_bytes(4, "big"), len(message).to_bytes(4, "big"),
        (time.time_ns() // 1000).to_bytes(8, "big"), message))


def _write(data):
    """In one write as long as the pipe takes it: other threads write too."""
    try:
        written = os.write(1, data)
        while written < len(data):
            data = data[written:]
            written = os.write(1, data)
    except OSError:
        pass  # nobody reads the log any more


def write_error(error):
    """The entry for an error that is reported to the platform."""
    if _json_format:
        import lambent_json

        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        write_entry(lambent_json.encode({"timestamp": stamp, "log_level": "ERROR", **error}))
        return
    title = "[ERROR]"
    if error["errorType"]:
        title += " " + error["errorType"]
    if error["errorMessage"]:
        title += (": " if error["errorType"] else " ") + error["errorMessage"]
    lines = [title, "Traceback (most recent call last):"]
    for frame in error["stackTrace"]:
        for line in frame.splitlines():
            text = line.lstrip(" ")
            lines.append(INDENT * (len(line) - len(text)) + text)
    write_entry("\n".join(lines))


def write_warning(text):
    """An entry of the runtime's own, in the form of the root logger's."""
    if _json_format:
        import lambent_json

        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        fields = {"timestamp": stamp, "level": "WARNING", "message": text}
        if request_id:
            fields["requestId"] = request_id
        write_entry(lambent_json.encode(fields))
        return
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    write_entry("[WARNING]\t%s.%03dZ\t%s\t%s" % (
        stamp, now % 1 * 1000, request_id or "", text))


class _WhenLoggingComes:
    """Sets the root logger up as soon as anything imports logging: the import costs more than
    all the rest of a small function's start, and many never need it."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(cls)
        import importlib.util

        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                if hasattr(module, "getLogger"):  # else the function has a module of that name
                    _set_up_logging()
                    _settle_logging(module)

            spec.loader.exec_module = exec_module
        return spec


def _set_up_logging():
    """The root logger's handler, in the text format."""
    global _handler
    import logging

    logging.Formatter.converter = time.gmtime

    class LambdaLoggerHandler(logging.Handler):
        def emit(self, record):
            try:
                write_entry(self.format(record))
            except Exception:
                self.handleError(record)

    class LambdaLoggerFilter(logging.Filter):
        def filter(self, record):
            record.aws_request_id = request_id or ""
            record.tenant_id = tenant_id
            return True

    _handler = LambdaLoggerHandler()
    _handler.setFormatter(logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
        "%Y-%m-%dT%H:%M:%S"))
    _handler.addFilter(LambdaLoggerFilter())
    logging.getLogger().addHandler(_handler)


def _settle_logging(logging):
    if _json_format:
        import lambent_log_json

        _handler.setFormatter(lambent_log_json.formatter(logging))
    if _level in logging._nameToLevel:
        logging.getLogger().setLevel(_level)
