// Errors of the runtime's own, and how any error is reported: as Lambda's Node.js runtimes do it.
'use strict';

function kind(name) {
  const type = { [name]: class extends Error {} }[name];
  type.prototype.name = `Runtime.${name}`;
  return type;
}

const ImportModuleError = kind('ImportModuleError');
const HandlerNotFound = kind('HandlerNotFound');
const MalformedHandlerName = kind('MalformedHandlerName');
const MalformedStreamingHandler = kind('MalformedStreamingHandler');
const InvalidStreamingOperation = kind('InvalidStreamingOperation');
const CallbackHandlerDeprecated = kind('CallbackHandlerDeprecated');
const JSONStringifyError = kind('JSONStringifyError');

class UserCodeSyntaxError extends kind('UserCodeSyntaxError') {
  constructor(error) {
    super(String(error));
    // Where in the user's code it is stands in the stack of the original alone.
    if (typeof error.stack === 'string') this.stack = `${this.name}: ${error}\n${error.stack}`;
  }
}

class UnhandledPromiseRejection extends kind('UnhandledPromiseRejection') {
  constructor(reason, promise) {
    super(String(reason));
    this.reason = reason;
    this.promise = promise;
  }
}

class NodeJsExit extends kind('NodeJsExit') {
  constructor() {
    super('The Lambda runtime client detected an unexpected Node.js exit code. This is most ' +
      'commonly caused by a Promise that was never settled. For more information, see ' +
      'https://nodejs.org/docs/latest/api/process.html#exit-codes');
  }
}

// What goes to the platform.
function describe(error) {
  try {
    if (isError(error)) {
      return {
        errorType: clean(error.name),
        errorMessage: clean(error.message),
        trace: clean(error.stack ?? '').split('\n'),
      };
    }
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  } catch {
    return {
      errorType: 'handled',
      errorMessage: 'callback called with Error argument, but there was a problem while ' +
        'retrieving one or more of its message, name, and stack',
      trace: [],
    };
  }
}

// What goes into the log's text format; it begins with a tab.
function formatted(error) {
  try {
    return `\t${JSON.stringify(error, (_, value) => withHiddenFields(value))}`;
  } catch {
    return `\t${JSON.stringify(describe(error))}`;
  }
}

// What goes to X-Ray, in a header.
function cause(error) {
  try {
    const { errorType: type, errorMessage: message, trace } = describe(error);
    const stack = trace.slice(1).map(frame);
    const paths = [...new Set(stack.map(entry => entry.path))];
    return JSON.stringify(
      { working_directory: process.cwd(), exceptions: [{ type, message, stack }], paths });
  } catch {
    return '';
  }
}

// What helps against an error that the same code does not have in Lambda.
function advice(error) {
  const missing = /^(?:Error: )?Cannot find (?:module|package) '((?:@aws-sdk\/|@smithy\/)[^'/]+)/
    .exec(error?.message ?? '');
  return missing && `${missing[1]} is not a part of this runtime, as it is of Lambda's own. ` +
    `Put it into the function's package: npm install ${missing[1]}`;
}

function intoError(error) {
  return error instanceof Error ? error : new Error(describe(error).errorMessage);
}

// An error's name, message and stack are not enumerable; the user's own fields are.
function withHiddenFields(value) {
  if (!(value instanceof Error)) return value;
  const fields = {
    errorType: value.name, errorMessage: value.message, code: value.code, ...value,
  };
  if (typeof value.stack === 'string') fields.stack = value.stack.split('\n');
  return fields;
}

// `at label (path:line:column)` or `at path:line:column`
function frame(line) {
  const words = line.trim().replace(/[()]/g, '').replace(/^\S*\s/, '');
  const space = words.lastIndexOf(' ');
  const [path, at] = words.slice(space + 1).split(':');
  return { path, line: parseInt(at, 10), label: space > 0 ? words.slice(0, space) : 'anonymous' };
}

function isError(value) {
  return value instanceof Error || require('util').types.isNativeError(value) ||
    ['name', 'message', 'stack'].every(name => value?.[name] && typeof value[name] === 'string');
}

function clean(text) {
  return String(text).replaceAll('\x7f', '%7F');
}

module.exports = {
  ImportModuleError, HandlerNotFound, MalformedHandlerName, MalformedStreamingHandler,
  InvalidStreamingOperation, CallbackHandlerDeprecated, JSONStringifyError, UserCodeSyntaxError,
  UnhandledPromiseRejection, NodeJsExit, describe, formatted, cause, advice, intoError,
};
