// Streamed responses: the stream a handler wrapped in awslambda.streamifyResponse writes to.
'use strict';

const { Writable } = require('stream');
const { InvalidStreamingOperation, describe } = require('./lambent-errors.cjs');

const ERROR_TYPE = 'Lambda-Runtime-Function-Error-Type';
const ERROR_BODY = 'Lambda-Runtime-Function-Error-Body';
const HTTP_CONTENT_TYPE = 'application/vnd.awslambda.http-integration-response';
const ERROR_SIZE_MAX = 8 * 1024;
const PRELUDE_END = Buffer.alloc(8);

class ResponseStream extends Writable {
  #api;
  #id;
  #contentType = 'application/octet-stream';
  #out = null;
  #onAnswer;
  #written = false;
  #ended = false;
  // Resolves with the platform's answer to the whole response.
  answered = new Promise(resolve => {
    this.#onAnswer = resolve;
  });

  constructor(api, id, highWaterMark) {
    super(highWaterMark === undefined ? {} : { highWaterMark });
    this.#api = api;
    this.#id = id;
  }

  setContentType(contentType) {
    if (this.#written) {
      throw new InvalidStreamingOperation('Cannot set content-type, too late.');
    }
    this.#contentType = String(contentType).replace(/[^\x20-\x7e]/g, '?');
  }

  write(chunk, encoding, callback) {
    const first = !this.#written;
    this.#written = true;
    if (first && typeof this._onBeforeFirstWrite === 'function') {
      this._onBeforeFirstWrite(data => super.write(data));
    }
    const isData = typeof chunk === 'string' || chunk instanceof Uint8Array;
    return super.write(isData ? chunk : JSON.stringify(chunk), encoding, callback);
  }

  // A body that is given at the end, or none at all, comes after what stands before it too.
  end(chunk, encoding, callback) {
    if (typeof chunk === 'function') return this.end(null, null, chunk);
    if (typeof encoding === 'function') return this.end(chunk, null, encoding);
    if (chunk !== undefined && chunk !== null) this.write(chunk, encoding ?? undefined);
    else if (!this.#written && this._onBeforeFirstWrite) this.write('');
    return super.end(callback ?? undefined);
  }

  _write(chunk, _encoding, callback) {
    this.#open().chunk(chunk, callback);
  }

  _final(callback) {
    this.#close({});
    callback();
  }

  // Ends the response with an error in its trailers, whatever state the stream is in. One that has
  // ended already is past telling.
  fail(error) {
    const description = describe(error);
    this.#close({
      [ERROR_TYPE]: String(description.errorType).slice(0, 256).replace(/[^\x21-\x7e]/g, '?'),
      [ERROR_BODY]: Buffer.from(bounded(description)).toString('base64'),
    });
    this.destroy();
  }

  #open() {
    this.#out ??= this.#api.stream(
      this.#id, this.#contentType, [ERROR_TYPE, ERROR_BODY], this.#onAnswer);
    return this.#out;
  }

  #close(trailers) {
    if (this.#ended) return;
    this.#ended = true;
    this.#open().end(trailers);
  }
}

// Trailers are bounded by servers. The stack gives way first: the log has all of it.
function bounded(description) {
  const { errorType, errorMessage, trace } = description;
  for (const [lines, letters] of [[trace.length, Infinity], [10, Infinity], [0, 2000]]) {
    const text = JSON.stringify({
      errorType: errorType.slice(0, 256),
      errorMessage: errorMessage.slice(0, letters),
      trace: trace.slice(0, lines),
    });
    if (letters < Infinity || Buffer.byteLength(text) <= ERROR_SIZE_MAX) return text;
  }
}

// Puts an HTTP response's status, headers and cookies before the body that is streamed.
class HttpResponseStream {
  static from(stream, prelude) {
    stream.setContentType(HTTP_CONTENT_TYPE);
    const text = JSON.stringify(prelude);
    stream._onBeforeFirstWrite = write => {
      write(text);
      write(PRELUDE_END);
    };
    return stream;
  }
}

module.exports = { ResponseStream, HttpResponseStream };
