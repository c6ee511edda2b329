"""Lambda's Runtime API, version 2018-06-01, over one kept-alive socket.

The response of one invocation and the question for the next leave in a single write, so a warm
invocation costs one write and one read. HTTP is written by hand: http.client is three times as
slow and brings in half of the standard library. Anything that is not plain HTTP/1.1 with a
length or chunks is refused; what the server says is never trusted to be small.
"""

import _socket

HEAD_SIZE_MAX = 1024 * 1024
BODY_SIZE_MAX = 256 * 1024 * 1024
# Above this a response waits for its answer before the next question is asked: only a large one
# can be refused (413), and then the error must come before the question.
PIPELINED_SIZE_MAX = 256 * 1024
RECEIVE_SIZE = 64 * 1024
# The cause for X-Ray travels in a header, which servers bound.
CAUSE_SIZE_MAX = 32 * 1024

_PREFIX = b"/2018-06-01/runtime/"


class Closed(Exception):
    """The platform has hung up: this environment's time is over."""


class Broken(Exception):
    """What came back is not the Runtime API."""


class RuntimeApi:
    def __init__(self, address):
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise Broken("AWS_LAMBDA_RUNTIME_API is not HOST:PORT: %r" % (address,))
        self._address = (host.strip("[]"), int(port))
        self._host = b" HTTP/1.1\r\nHost: " + address.encode("latin-1")
        self._ask = b"GET " + _PREFIX + b"invocation/next" + self._host + b"\r\n\r\n"
        self._socket = None
        self._received = b""
        # How many answers to POSTs are still to come before the one to the question.
        self._answers_due = 0
        self._asked = False

    def next(self):
        """Waits for an invocation: its headers (lower case, bytes) and its event (bytes)."""
        if not self._asked:
            self._send(self._ask)
            self._asked = True
        while self._answers_due:
            status, _, body = self._receive()
            self._answers_due -= 1
            if status >= 300:
                self._complain(status, body)
            if not self._asked:  # the server closed after that answer
                self._send(self._ask)
                self._asked = True
        status, headers, body = self._receive()
        self._asked = False
        if status != 200:
            raise Broken("the Runtime API answered %d to next: %r" % (status, bytes(body[:200])))
        return headers, body

    def respond(self, request_id, body, content_type):
        """Posts a response. The refusal (status, body) of one that is too large comes back."""
        head = b"".join((
            b"POST ", _PREFIX, b"invocation/", request_id, b"/response", self._host,
            b"\r\nContent-Type: ", content_type, b"\r\nContent-Length: %d\r\n\r\n" % len(body),
        ))
        if len(body) <= PIPELINED_SIZE_MAX:
            self._send(head + body + self._ask)
            self._asked = True
            self._answers_due += 1
            return None
        status, answer = self._post(head, body)
        return None if status < 300 else (status, answer)

    def fail(self, request_id, body, error_type, cause=b""):
        """Posts an invocation's error, and the next question with it."""
        head = self._error_head(b"invocation/" + request_id + b"/error", body, error_type, cause)
        self._send(head + body + self._ask)
        self._asked = True
        self._answers_due += 1

    def fail_init(self, body, error_type):
        """Posts an error of the init phase and waits until it has been taken."""
        self._post(self._error_head(b"init/error", body, error_type, b""), body)

    def restore_next(self):
        """Says that the init is done, and waits until its snapshot may be taken."""
        self._exchange(b"GET " + _PREFIX + b"restore/next" + self._host + b"\r\n\r\n")
        self._hang_up()

    def fail_restore(self, body, error_type):
        """Posts an error of what runs after a restore and waits until it has been taken."""
        self._post(self._error_head(b"restore/error", body, error_type, b""), body)

    def _exchange(self, question):
        self._send(question)
        status, _, body = self._receive()
        if status >= 300:
            raise Broken("the Runtime API answered %d: %r" % (status, bytes(body[:200])))

    def _error_head(self, path, body, error_type, cause):
        head = [
            b"POST ", _PREFIX, path, self._host, b"\r\nContent-Type: application/json",
            b"\r\nLambda-Runtime-Function-Error-Type: ", header_value(error_type),
        ]
        if cause and len(cause) <= CAUSE_SIZE_MAX:
            head += (b"\r\nLambda-Runtime-Function-XRay-Error-Cause: ", cause)
        head.append(b"\r\nContent-Length: %d\r\n\r\n" % len(body))
        return b"".join(head)

    def _post(self, head, body):
        """One exchange, not pipelined. A server may answer (413) and hang up before it has read
        the whole body, so an answer is looked for even where writing fails."""
        try:
            self._send(head)
            self._send(body)
        except Closed:
            if self._socket is None:
                raise
        try:
            status, _, answer = self._receive()
        except OSError:
            raise Closed from None
        return status, bytes(answer)

    def _complain(self, status, body):
        import sys

        text = bytes(body[:200]).decode("utf-8", "replace")
        print("[WARNING] The Runtime API refused a response: %d %s" % (status, text),
              file=sys.stderr)

    def _send(self, data):
        if self._socket is None:
            self._connect()
        try:
            self._socket.sendall(data)
        except OSError:
            raise Closed from None

    def _connect(self):
        host, port = self._address
        try:
            try:
                _socket.inet_aton(host)
                family, where = _socket.AF_INET, (host, port)
            except OSError:
                # As bytes: text would load the codec for international names first.
                family, _, _, _, where = _socket.getaddrinfo(
                    host.encode("ascii"), port, 0, _socket.SOCK_STREAM)[0]
            self._socket = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
            self._socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            self._socket.connect(where)
        except OSError as error:
            raise Broken("cannot reach the Runtime API at %s:%d: %s" % (host, port, error))

    def _hang_up(self):
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._received = b""
        self._asked = False

    def _more(self):
        try:
            data = self._socket.recv(RECEIVE_SIZE)
        except OSError:
            raise Closed from None
        if not data:
            raise Closed
        return data

    def _receive(self):
        """One answer: status, headers, body."""
        received = self._received or self._more()
        end = received.find(b"\r\n\r\n")
        while end < 0:
            if len(received) > HEAD_SIZE_MAX:
                raise Broken("the Runtime API's header has no end")
            received += self._more()
            end = received.find(b"\r\n\r\n")
        lines = received[:end].split(b"\r\n")
        self._received = received[end + 4:]
        status = _status(lines[0])
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        if status < 200:  # an interim answer such as 100
            return self._receive()
        body = self._receive_body(headers)
        if headers.get(b"connection", b"").lower() == b"close":
            self._hang_up()
        return status, headers, body

    def _receive_body(self, headers):
        length = headers.get(b"content-length")
        if length is None:
            coding = headers.get(b"transfer-encoding", b"").lower()
            if coding == b"chunked":
                return self._receive_chunks()
            if coding:
                raise Broken("the Runtime API uses a transfer coding that is not known: %r" % coding)
            return b""
        return self._take(_number(length, 10))

    def _receive_chunks(self):
        parts = []
        total = 0
        while True:
            size = _number(self._take_line().partition(b";")[0].strip(), 16)
            if size == 0:
                break
            total += size
            if total > BODY_SIZE_MAX:
                raise Broken("the Runtime API's chunks have no end")
            parts.append(self._take(size))
            if self._take(2) != b"\r\n":
                raise Broken("a chunk of the Runtime API does not end where it says")
        while self._take_line():  # trailers
            pass
        return b"".join(parts)

    def _take(self, length):
        received = self._received
        if len(received) >= length:
            self._received = received[length:]
            return received[:length]
        body = bytearray(length)
        filled = len(received)
        body[:filled] = received
        self._received = b""
        view = memoryview(body)
        while filled < length:
            try:
                count = self._socket.recv_into(view[filled:])
            except OSError:
                raise Closed from None
            if not count:
                raise Closed
            filled += count
        return bytes(body) if length < RECEIVE_SIZE else body

    def _take_line(self):
        while True:
            line, newline, rest = self._received.partition(b"\r\n")
            if newline:
                self._received = rest
                return line
            if len(line) > HEAD_SIZE_MAX:
                raise Broken("a line of the Runtime API has no end")
            self._received += self._more()


def header_value(text):
    """Visible ASCII only, bounded: an exception's class may have any name."""
    return text.encode("ascii", "replace").translate(_VISIBLE)[:256]


_VISIBLE = bytes(byte if 32 < byte < 127 else 63 for byte in range(256))


def _status(line):
    words = line.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise Broken("the Runtime API does not speak HTTP/1.1: %r" % line[:80])
    return int(words[1])


def _number(text, base):
    try:
        number = int(text, base)
    except ValueError:
        number = -1
    if not 0 <= number <= BODY_SIZE_MAX:
        raise Broken("the Runtime API gives a length of %r" % text[:40])
    return number
