// What a function says: console.* in Lambda's text or JSON format, and errors.
//
// One entry is one log event. A line goes to stdout as it is; an entry of several lines goes out
// framed on the same descriptor where the platform reads frames (LAMBENT_LOG_FRAMES=1), else with
// carriage returns inside, as Lambda does. A frame is a header of 16 bytes, big-endian:
// 0xa55a0003, the message's length (u32), microseconds since the epoch (i64); then the message.
// Writes are synchronous, so that nothing said is lost when the environment is killed.
'use strict';

const fs = require('fs');
const { format } = require('util');
const { formatted, advice, intoError } = require('./lambent-errors.cjs');

const FRAME_MAGIC = 0xa55a0003;
const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];

const settings = { framed: false, json: false };
const invocation = { requestId: undefined, tenantId: undefined };
let midLine = false;

function settle() {
  const { env } = process;
  settings.framed = env.LAMBENT_LOG_FRAMES === '1';
  settings.json = env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === 'JSON';
  delete env.LAMBENT_LOG_FRAMES;
  const lowest = Math.max(0, LEVELS.indexOf(env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase()));
  LEVELS.forEach((level, index) => {
    // FATAL is always said.
    const silent = index < lowest && level !== 'FATAL';
    console[level.toLowerCase()] = silent ? () => {} : (...given) => log(level, ...given);
  });
  console.log = console.info;
  watchStreams();
}

function log(level, message, ...parameters) {
  const time = new Date().toISOString();
  if (settings.json) {
    writeEntry(jsonLine(time, level, message, parameters));
  } else {
    const text = format(message, ...parameters);
    writeEntry(`${time}\t${invocation.requestId}\t${level}\t${text}`);
  }
}

// The entry for an error that is reported to the platform.
function logError(title, error) {
  if (settings.json) console.error(intoError(error));
  else console.error(title, formatted(intoError(error)));
  const help = advice(error);
  if (help) console.warn(help);
}

function jsonLine(timestamp, level, message, parameters) {
  const fields = { timestamp, level, requestId: invocation.requestId };
  if (invocation.tenantId) fields.tenantId = invocation.tenantId;
  if (parameters.length === 0) {
    fields.message = message;
    try {
      return JSON.stringify(fields, (_, value) => errorFields(value));
    } catch {
      fields.message = format(message);
      return JSON.stringify(fields);
    }
  }
  fields.message = format(message, ...parameters);
  const error = [message, ...parameters].find(value => value instanceof Error);
  if (error) {
    fields.errorType = error.constructor?.name ?? 'UnknownError';
    fields.errorMessage = error.message;
    fields.stackTrace = typeof error.stack === 'string' ? error.stack.split('\n') : [];
  }
  return JSON.stringify(fields);
}

function errorFields(value) {
  if (!(value instanceof Error)) return value;
  const { stack } = value;
  return {
    errorType: value.constructor?.name ?? 'UnknownError',
    errorMessage: value.message,
    stackTrace: typeof stack === 'string' ? stack.split('\n') : stack,
    ...value,
  };
}

function writeEntry(text) {
  let data;
  if (!text.includes('\n')) {
    data = `${text}\n`;
  } else if (settings.framed) {
    data = frame(`${text}\n`);
  } else {
    data = `${text.replace(/\n/g, '\r')}\n`;
  }
  if (midLine) {
    midLine = false;
    write('\n');
  }
  write(data);
}

function frame(text) {
  const size = Buffer.byteLength(text);
  const data = Buffer.allocUnsafe(16 + size);
  data.writeUInt32BE(FRAME_MAGIC, 0);
  data.writeUInt32BE(size, 4);
  data.writeBigInt64BE(BigInt(Date.now()) * 1000n, 8);
  data.utf8Write(text, 16);
  return data;
}

function write(data) {
  try {
    const size = fs.writeSync(1, data);
    if (size === (typeof data === 'string' ? Buffer.byteLength(data) : data.length)) return;
    writeRest(Buffer.from(data).subarray(size));
  } catch (error) {
    // A child of the function may have made the pipe non-blocking; with no reader nobody cares.
    if (error.code === 'EAGAIN') writeRest(Buffer.from(data));
  }
}

function writeRest(data) {
  const nap = new Int32Array(new SharedArrayBuffer(4));
  while (data.length) {
    try {
      data = data.subarray(fs.writeSync(1, data));
    } catch (error) {
      if (error.code !== 'EAGAIN') return;
      Atomics.wait(nap, 0, 0, 1);
    }
  }
}

// The function's own writes must be synchronous too, or they are lost when it is killed; and an
// entry that follows an unfinished line begins a new one. The streams are made on first use only,
// as making them costs more than a small function's whole init.
function watchStreams() {
  onFirstUse('stdout', stream => {
    const { write } = stream;
    stream.write = function (chunk, ...rest) {
      if (chunk?.length) {
        midLine = typeof chunk === 'string' ?
          !chunk.endsWith('\n') : chunk[chunk.length - 1] !== 10;
      }
      return write.call(this, chunk, ...rest);
    };
  });
  onFirstUse('stderr', () => {});
}

function onFirstUse(name, act) {
  const { get } = Object.getOwnPropertyDescriptor(process, name);
  let known = null;
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get() {
      const stream = get.call(process);
      if (stream !== known) {
        known = stream;
        stream._handle?.setBlocking?.(true);
        act(stream);
      }
      return stream;
    },
  });
}

module.exports = { settle, logError, invocation };
