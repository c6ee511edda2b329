// Lambda's Runtime API, version 2018-06-01, over one kept-alive socket.
//
// The response of one invocation and the question for the next leave in a single write. HTTP is
// written by hand: the http module costs two to four times as much. Anything that is not plain
// HTTP/1.1 with a length or chunks is refused; what the server says is never trusted to be small.
//
// The socket keeps the event loop alive only while the client itself waits for the platform, so
// that an empty event loop means that the handler has nothing left to do.
'use strict';

const net = require('net');

const HEAD_SIZE_MAX = 1024 * 1024;
const BODY_SIZE_MAX = 256 * 1024 * 1024;
// Above this a response waits for its answer before the next question is asked: only a large one
// can be refused (413), and then the error must come before the question.
const PIPELINED_SIZE_MAX = 256 * 1024;
const RECEIVE_SIZE = 64 * 1024;
// The cause for X-Ray travels in a header, which servers bound.
const CAUSE_SIZE_MAX = 32 * 1024;

const PREFIX = '/2018-06-01/runtime/';
const EMPTY = Buffer.alloc(0);

class RuntimeApi {
  // `onClosed()` is called when the platform hangs up, `onBroken(message)` when what comes back is
  // not the Runtime API. Neither may return to the client: both end the process.
  constructor(address, onClosed, onBroken) {
    const colon = address.lastIndexOf(':');
    this.host = address.slice(0, colon).replace(/^\[|\]$/g, '');
    this.port = Number(address.slice(colon + 1));
    this.onClosed = onClosed;
    this.onBroken = onBroken;
    this.hostLine = ` HTTP/1.1\r\nHost: ${address}\r\n`;
    this.ask = `GET ${PREFIX}invocation/next${this.hostLine}\r\n`;
    this.socket = null;
    this.parser = null;
    // Who gets the answers that are still to come, in order.
    this.waiting = [];
    this.onInvocation = null;
    if (colon < 1 || !(this.port > 0 && this.port < 65536)) {
      onBroken(`AWS_LAMBDA_RUNTIME_API is not HOST:PORT: ${address}`);
    }
  }

  // Asks for an invocation: onInvocation(headers, body) follows.
  next() {
    this.#write(this.ask, answer => this.#invoke(answer));
    this.socket.ref();
  }

  // Posts a response and asks for the next invocation. `onRefused(status, body)` is called instead
  // where the server does not take a large response.
  respond(id, body, contentType, onRefused) {
    const size = Buffer.byteLength(body);
    const head = `POST ${PREFIX}invocation/${id}/response${this.hostLine}` +
      `Content-Type: ${contentType}\r\nContent-Length: ${size}\r\n\r\n`;
    if (size <= PIPELINED_SIZE_MAX) {
      this.#write(head + body + this.ask, answer => this.#complain(answer));
      this.waiting.push(answer => this.#invoke(answer));
      this.socket.ref();
      return;
    }
    this.#write(head, answer => {
      if (answer.status < 300) this.next();
      else onRefused(answer.status, answer.body);
    });
    this.socket.write(body);
    this.socket.ref();
  }

  // Posts an invocation's error. The question for the next goes with it unless `then` is given,
  // which is called when the error has been taken.
  fail(id, error, cause, then) {
    this.#post(`invocation/${id}/error`, error, cause, then);
  }

  // Posts an error of the init phase.
  failInit(error, then) {
    this.#post('init/error', error, '', then);
  }

  // Begins a streamed response; the returned functions write to it. `then(status)` is called with
  // the answer to the whole.
  stream(id, contentType, trailers, then) {
    const names = trailers.join(', ');
    this.#write(
      `POST ${PREFIX}invocation/${id}/response${this.hostLine}` +
        `Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Type: ${contentType}\r\n` +
        `Transfer-Encoding: chunked\r\nTrailer: ${names}\r\n\r\n`,
      answer => then(answer.status));
    const socket = this.socket;
    return {
      chunk(data, callback) {
        if (data.length === 0) return process.nextTick(callback);
        socket.cork();
        socket.write(`${data.length.toString(16)}\r\n`);
        socket.write(data);
        socket.write('\r\n', callback);
        socket.uncork();
      },
      end(values) {
        const lines = Object.keys(values).map(name => `${name}: ${values[name]}\r\n`);
        socket.write(`0\r\n${lines.join('')}\r\n`);
        socket.ref();
      },
    };
  }

  close() {
    const { socket } = this;
    this.socket = null;
    socket?.destroy();
  }

  #post(path, error, cause, then) {
    const body = JSON.stringify(error);
    const because = cause && cause.length <= CAUSE_SIZE_MAX ?
      `Lambda-Runtime-Function-XRay-Error-Cause: ${ascii(cause)}\r\n` : '';
    const head = `POST ${PREFIX}${path}${this.hostLine}Content-Type: application/json\r\n` +
      `Lambda-Runtime-Function-Error-Type: ${headerValue(error.errorType)}\r\n` +
      `${because}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
    if (then) {
      this.#write(head + body, then);
    } else {
      this.#write(head + body + this.ask, answer => this.#complain(answer));
      this.waiting.push(answer => this.#invoke(answer));
    }
    this.socket.ref();
  }

  #invoke(answer) {
    if (answer.status !== 200) {
      const said = answer.body.toString('utf8', 0, 200);
      return this.onBroken(`the Runtime API answered ${answer.status} to next: ${said}`);
    }
    this.socket?.unref();
    this.onInvocation(answer.headers, answer.body);
  }

  #complain(answer) {
    if (answer.status < 300) return;
    const said = answer.body.toString('utf8', 0, 200);
    console.warn(`The Runtime API refused a response: ${answer.status} ${said}`);
  }

  #write(text, onAnswer) {
    if (!this.socket) this.#connect();
    this.waiting.push(onAnswer);
    this.socket.write(text);
  }

  #connect() {
    const parser = new Parser(answer => this.#answered(answer), text => this.onBroken(text));
    const socket = net.connect({
      host: this.host,
      port: this.port,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(RECEIVE_SIZE),
        callback: (size, buffer) => {
          parser.feed(buffer.subarray(0, size));
          return true;
        },
      },
    });
    socket.setNoDelay(true);
    const gone = () => {
      if (this.socket === socket) this.onClosed();
    };
    socket.on('error', gone);
    socket.on('end', gone);
    socket.on('close', gone);
    this.socket = socket;
  }

  #answered(answer) {
    if (answer.headers['connection']?.toLowerCase() === 'close') this.#reconnect();
    const onAnswer = this.waiting.shift();
    if (!onAnswer) return this.onBroken('the Runtime API answers what was not asked');
    onAnswer(answer);
  }

  // The server closes after this answer. What was asked behind it is asked again.
  #reconnect() {
    const closing = this.socket;
    this.socket = null;
    closing.destroy();
    if (this.waiting.length > 1) {
      this.#connect();
      this.socket.write(this.ask);
    }
  }
}

// Cuts what arrives into answers: {status, headers, body}.
class Parser {
  constructor(onAnswer, onBroken) {
    this.onAnswer = onAnswer;
    this.onBroken = onBroken;
    this.rest = EMPTY;
    this.answer = null;
    // What the answer's body still lacks: a buffer being filled, or chunks being read.
    this.body = null;
    this.filled = 0;
    this.chunks = null;
  }

  // `data` is reused by the socket: what stays must be copied.
  feed(data) {
    if (this.body) {
      const take = data.copy(this.body, this.filled);
      this.filled += take;
      if (this.filled < this.body.length) return;
      data = data.subarray(take);
      this.#finish(this.body);
    } else if (this.rest.length) {
      data = Buffer.concat([this.rest, data]);
      this.rest = EMPTY;
    }
    try {
      while (data.length) {
        const before = data.length;
        data = this.chunks ? this.#readChunks(data) : this.#readAnswer(data);
        if (this.body) return;
        if (data.length === before) {
          if (before > HEAD_SIZE_MAX && !this.chunks) throw new Error('its header has no end');
          this.rest = Buffer.from(data);
          return;
        }
      }
    } catch (error) {
      this.onBroken(`what comes back is not the Runtime API: ${error.message}`);
    }
  }

  // Each of these gives back what it has not used; the same length means that more is needed.
  #readAnswer(data) {
    const end = data.indexOf('\r\n\r\n');
    if (end < 0) return data;
    this.answer = head(data.utf8Slice(0, end));
    const rest = data.subarray(end + 4);
    const { status, headers } = this.answer;
    if (status < 200) return rest;
    const length = headers['content-length'];
    if (length === undefined) {
      const coding = headers['transfer-encoding']?.toLowerCase();
      if (coding && coding !== 'chunked') throw new Error(`transfer coding ${coding}`);
      if (coding) this.chunks = [];
      else this.#finish(EMPTY);
      return rest;
    }
    const size = number(length, 10);
    if (rest.length >= size) {
      this.#finish(rest.subarray(0, size));
      return rest.subarray(size);
    }
    this.body = Buffer.allocUnsafe(size);
    this.filled = rest.copy(this.body);
    return EMPTY;
  }

  #readChunks(data) {
    const end = data.indexOf('\r\n');
    if (end < 0) return data;
    const size = number(data.latin1Slice(0, end).split(';')[0].trim(), 16);
    if (size === 0) return this.#readTrailers(data, end + 2);
    const begin = end + 2;
    if (data.length < begin + size + 2) return data;
    if (data[begin + size] !== 13 || data[begin + size + 1] !== 10) throw new Error('a chunk');
    this.chunks.push(Buffer.from(data.subarray(begin, begin + size)));
    this.filled += size;
    if (this.filled > BODY_SIZE_MAX) throw new Error('its chunks have no end');
    return data.subarray(begin + size + 2);
  }

  #readTrailers(data, begin) {
    for (;;) {
      const end = data.indexOf('\r\n', begin);
      if (end < 0) return data;
      if (end === begin) break;
      begin = end + 2;
    }
    const body = Buffer.concat(this.chunks);
    this.chunks = null;
    this.#finish(body);
    return data.subarray(begin + 2);
  }

  #finish(body) {
    const answer = this.answer;
    this.answer = this.body = null;
    this.filled = 0;
    answer.body = body;
    this.onAnswer(answer);
  }
}

function head(text) {
  const lines = text.split('\r\n');
  if (!/^HTTP\/1\.\d \d{3}( |$)/.test(lines[0])) throw new Error(lines[0].slice(0, 80));
  const headers = Object.create(null);
  for (let at = 1; at < lines.length; at++) {
    const line = lines[at];
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status: Number(lines[0].slice(9, 12)), headers, body: null };
}

function number(text, base) {
  const value = (base === 10 ? /^\d+$/ : /^[\da-f]+$/i).test(text) ? parseInt(text, base) : -1;
  if (!(value >= 0 && value <= BODY_SIZE_MAX)) throw new Error(`a length of ${text.slice(0, 40)}`);
  return value;
}

// Visible ASCII only, bounded: an error's name may be anything.
function headerValue(text) {
  return String(text).slice(0, 256).replace(/[^\x21-\x7e]/g, '?');
}

// JSON stays JSON with everything beyond ASCII escaped.
function ascii(json) {
  return json.replace(/[^\x20-\x7e]/g,
    letter => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

module.exports = { RuntimeApi };
