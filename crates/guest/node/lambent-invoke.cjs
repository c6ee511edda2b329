// One invocation after the other: context, handler, response.
//
// Up to Node.js 22 a handler may answer through a promise, a callback or context.succeed, fail and
// done, and a callback's answer waits for an empty event loop. From 24 on Lambda takes what the
// handler returns and nothing else.
'use strict';

const errors = require('./lambent-errors.cjs');
const { logError, invocation } = require('./lambent-log.cjs');

class Runtime {
  // What an empty event loop means at the moment; null: nothing.
  onEmptyLoop = null;
  // The invocation that has not been answered yet, and its stream if it has one.
  requestId = null;
  stream = null;

  constructor(api, user, nodeVersion) {
    this.api = api;
    this.user = user;
    this.invoke = user.streaming ? this.invokeStreaming :
      nodeVersion >= 24 ? this.invokeReturning : this.invokeClassic;
    api.onInvocation = (headers, body) => this.#begin(headers, body);
    process.on('beforeExit', this.#beforeExit);
  }

  close() {
    process.off('beforeExit', this.#beforeExit);
  }

  #beforeExit = () => {
    const act = this.onEmptyLoop;
    this.onEmptyLoop = null;
    act?.();
  };

  #begin(headers, body) {
    const id = headers['lambda-runtime-aws-request-id'];
    if (!id || !/^[\x21-\x7e]{1,256}$/.test(id)) {
      return this.api.onBroken(`the Runtime API gives a request id of ${id}`);
    }
    this.requestId = id;
    invocation.requestId = id;
    invocation.tenantId = headers['lambda-runtime-aws-tenant-id'];
    const trace = headers['lambda-runtime-trace-id'];
    if (trace) process.env._X_AMZN_TRACE_ID = trace;
    else delete process.env._X_AMZN_TRACE_ID;
    this.invoke(id, headers, body);
  }

  invokeClassic(id, headers, body) {
    const answer = new Answer(this, id);
    this.onEmptyLoop = () => answer.forgotten(this.user.isAsync);
    try {
      const event = JSON.parse(body.utf8Slice());
      const context = answer.context(headers);
      const { handler } = this.user;
      const result = handler(event, context, answer.callback);
      if (typeof result?.then === 'function') {
        result.then(context.succeed, context.fail).then(undefined, context.fail);
      }
    } catch (error) {
      answer.callback(error);
    }
  }

  async invokeReturning(id, headers, body) {
    this.onEmptyLoop = () => this.fail(id, new errors.NodeJsExit());
    const { handler } = this.user;
    let text;
    try {
      const event = JSON.parse(body.utf8Slice());
      text = serialize(await handler(event, fill({}, headers)), errors.JSONStringifyError);
    } catch (error) {
      return this.fail(id, error);
    }
    this.respond(id, text);
  }

  async invokeStreaming(id, headers, body) {
    const { ResponseStream } = require('./lambent-stream.cjs');
    const stream = new ResponseStream(this.api, id, this.user.highWaterMark);
    // Errors of the stream itself come out of what the handler awaits; unheard they would end
    // the process.
    stream.on('error', () => {});
    this.stream = stream;
    try {
      const context = fill({ callbackWaitsForEmptyEventLoop: true }, headers);
      const { handler } = this.user;
      const result = handler(JSON.parse(body.utf8Slice()), stream, context);
      if (typeof result?.then !== 'function') {
        throw new Error('Streaming does not support non-async handlers.');
      }
      this.onEmptyLoop = () => this.#failStream(id, stream, new errors.NodeJsExit());
      if (await result !== undefined) console.warn('Streaming handlers ignore return values.');
      this.onEmptyLoop = () =>
        this.#failStream(id, stream, new Error('Response stream is not finished.'));
      await stream.answered;
    } catch (error) {
      return this.#failStream(id, stream, error);
    }
    if (this.#finish(id)) this.api.next();
  }

  async #failStream(id, stream, error) {
    if (!this.#finish(id)) return;
    logError('Invoke Error', error);
    stream.fail(error);
    await stream.answered;
    this.api.next();
  }

  // Ends the process over an error that nothing caught, once the platform has it.
  end(error, then) {
    const { requestId: id, stream } = this;
    if (!id) return then();
    this.#finish(id);
    if (!stream) return this.api.fail(id, errors.describe(error), errors.cause(error), then);
    stream.fail(error);
    stream.answered.then(then);
  }

  respond(id, text) {
    if (!this.#finish(id)) return;
    this.api.respond(id, text, 'application/json', (status, answer) =>
      this.#refused(id, status, answer));
  }

  fail(id, error) {
    if (!this.#finish(id)) return;
    logError('Invoke Error', error);
    this.api.fail(id, errors.describe(error), errors.cause(error));
  }

  // A response was too large (413), or the invocation was over; both end it.
  #refused(id, status, answer) {
    let said = {};
    try {
      said = JSON.parse(answer.utf8Slice());
    } catch {} // its text will do
    const description = {
      errorType: status === 413 ?
        'Function.ResponseSizeTooLarge' : 'Runtime.LambdaRuntimeClientError',
      errorMessage: said?.errorMessage || answer.toString('utf8', 0, 1000),
      trace: [],
    };
    console.error(`${description.errorType}: ${description.errorMessage}`);
    this.api.fail(id, description, '');
  }

  // Whether it had not been answered before.
  #finish(id) {
    if (this.requestId !== id) return false;
    this.requestId = this.stream = this.onEmptyLoop = null;
    return true;
  }
}

// The ways in which a handler up to Node.js 22 can answer; the first one counts.
class Answer {
  #waitsForEmptyLoop = true;
  #done = false;

  constructor(runtime, id) {
    this.runtime = runtime;
    this.id = id;
    const once = act => (...given) => {
      if (this.#done) return;
      act(...given);
      this.#done = true;
    };
    this.callback = once((error, result) => this.#complete(error, result, this.#waitsForEmptyLoop));
    this.done = once((error, result) => this.#complete(error, result, false));
    this.succeed = once(result => this.#complete(null, result, false));
    this.fail = once(error => this.#complete(error ?? 'handled', null, false));
  }

  context(headers) {
    const answer = this;
    return fill({
      get callbackWaitsForEmptyEventLoop() {
        return answer.#waitsForEmptyLoop;
      },
      set callbackWaitsForEmptyEventLoop(value) {
        answer.#waitsForEmptyLoop = value;
      },
      succeed: this.succeed,
      fail: this.fail,
      done: this.done,
    }, headers);
  }

  // The event loop is empty and nothing has been answered: a forgotten callback is null, a promise
  // that will never be settled is an error.
  forgotten(isAsync) {
    this.#done = true;
    if (isAsync) this.runtime.fail(this.id, new errors.NodeJsExit());
    else this.runtime.respond(this.id, 'null');
  }

  #complete(error, result, waits) {
    const { runtime, id } = this;
    if (error !== undefined && error !== null) return runtime.fail(id, error);
    if (waits) {
      runtime.onEmptyLoop = () => {
        let text;
        try {
          text = serialize(result, Error);
        } catch (unserializable) {
          return runtime.fail(id, unserializable);
        }
        runtime.respond(id, text);
      };
      return;
    }
    runtime.respond(id, serialize(result, Error));
  }
}

function fill(context, headers) {
  const { env } = process;
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  context.functionVersion = env.AWS_LAMBDA_FUNCTION_VERSION;
  context.functionName = env.AWS_LAMBDA_FUNCTION_NAME;
  context.memoryLimitInMB = env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE;
  context.logGroupName = env.AWS_LAMBDA_LOG_GROUP_NAME;
  context.logStreamName = env.AWS_LAMBDA_LOG_STREAM_NAME;
  context.clientContext = parse(headers['lambda-runtime-client-context'], 'ClientContext');
  context.identity = parse(headers['lambda-runtime-cognito-identity'], 'CognitoIdentity');
  context.invokedFunctionArn = headers['lambda-runtime-invoked-function-arn'];
  context.awsRequestId = headers['lambda-runtime-aws-request-id'];
  context.tenantId = headers['lambda-runtime-aws-tenant-id'];
  context.getRemainingTimeInMillis = () => deadline - Date.now();
  return context;
}

function parse(text, name) {
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error}`);
  }
}

function serialize(result, Failure) {
  try {
    return JSON.stringify(result === undefined ? null : result) ?? 'null';
  } catch {
    throw new Failure('Unable to stringify response body');
  }
}

module.exports = { Runtime };
