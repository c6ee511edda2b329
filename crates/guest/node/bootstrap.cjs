// Lambda's Node.js runtime: loads the user's handler and serves it with invocations.
//
// Two ways in. Started plainly, the environment is set. From a pool (LAMBENT_POOL_FD), the process
// has booted without knowing for whom: it reads one line of JSON, {"env": {…}}, from that
// descriptor, takes this environment for its own, and goes on as if it had been started with it.
// Nothing of the user's code or environment is touched before.
'use strict';

const fs = require('fs');
const { RuntimeApi } = require('./lambent-api.cjs');
const { load } = require('./lambent-load.cjs');
const { Runtime } = require('./lambent-invoke.cjs');
const errors = require('./lambent-errors.cjs');
const log = require('./lambent-log.cjs');

const LINE_SIZE_MAX = 1024 * 1024;

async function main() {
  if (process.env.LAMBENT_POOL_FD !== undefined) await adopt(Number(process.env.LAMBENT_POOL_FD));
  log.settle();
  const version = runtimeVersion();
  const root = process.env.LAMBDA_TASK_ROOT ?? '/var/task';
  try {
    process.chdir(root);
  } catch {} // loading the handler says it better
  const api = new RuntimeApi(
    process.env.AWS_LAMBDA_RUNTIME_API ?? '', () => process.exit(0), broken);
  const report = reportUncaught(api);
  let user;
  try {
    process.on('beforeExit', loadsForEver);
    user = await load(root, process.env._HANDLER ?? '')
      .finally(() => process.off('beforeExit', loadsForEver));
    refuseCallback(user, version);
  } catch (error) {
    log.logError(version >= 24 ? 'Init Error' : 'Uncaught Exception', error);
    return api.failInit(errors.describe(error), () => process.exit(version >= 24 ? 1 : 129));
  }
  // A rejection that the module left behind is heard of before the init phase ends.
  setImmediate(() => {
    report.runtime = new Runtime(api, user, version);
    api.next();
  });
}

// Becomes what the line says.
async function adopt(fd) {
  await require('./lambent-warm.cjs').warmUp();
  const line = readLine(fd);
  fs.closeSync(fd);
  // The standard descriptors must not become anything else.
  if (fd <= 2) fs.openSync('/dev/null', 'r+');
  if (line === null) process.exit(0); // the pool is being emptied
  const { env } = JSON.parse(line);
  const nodePath = process.env.NODE_PATH;
  for (const name of Object.keys(process.env)) {
    if (!(name in env)) delete process.env[name];
  }
  Object.assign(process.env, env);
  // NODE_PATH is read when Node.js starts, and again by this.
  if (env.NODE_PATH !== nodePath) require('module').Module._initPaths();
}

// Blocks, as a process that waits in a pool must cost nothing.
function readLine(fd) {
  const part = Buffer.allocUnsafe(64 * 1024);
  let text = Buffer.alloc(0);
  for (;;) {
    const size = readPart(fd, part);
    text = Buffer.concat([text, part.subarray(0, size)]);
    const end = text.indexOf(10);
    if (end >= 0) return text.utf8Slice(0, end);
    if (size === 0 || text.length > LINE_SIZE_MAX) return null;
  }
}

function readPart(fd, part) {
  for (;;) {
    try {
      return fs.readSync(fd, part);
    } catch (error) {
      // Somebody has made the descriptor non-blocking: then it is asked again and again.
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

// An error that nothing catches ends the process, but is reported first: of the invocation that
// runs, else of the init phase.
function reportUncaught(api) {
  const report = { runtime: null };
  let ending = false;
  const end = (title, error, code) => {
    log.logError(title, error);
    if (ending) return;
    ending = true;
    const then = () => process.exit(code);
    if (report.runtime) report.runtime.end(error, then);
    else api.failInit(errors.describe(error), then);
  };
  process.on('uncaughtException', error => end('Uncaught Exception', error, 129));
  process.on('unhandledRejection', (reason, promise) => end(
    'Unhandled Promise Rejection', new errors.UnhandledPromiseRejection(reason, promise), 128));
  return report;
}

// A module waits at its top level for what will never come: Node.js ends, with a code for just this.
function loadsForEver() {
  console.warn('Warning: Detected unsettled top-level await while the handler\'s module was loaded');
  process.exit(13);
}

function refuseCallback(user, version) {
  if (!user.takesCallback || user.streaming) return;
  if (version >= 24) {
    throw new errors.CallbackHandlerDeprecated(
      'ERROR: AWS Lambda has removed support for callback-based function handlers starting with ' +
      'Node.js 24. You need to modify this function to use a supported handler signature to use ' +
      'Node.js 24 or later. For more information see ' +
      'https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.');
  }
}

// The runtime that was asked for decides, as the interpreter may be a newer one.
function runtimeVersion() {
  const asked = /nodejs(\d+)/.exec(process.env.AWS_EXECUTION_ENV ?? '');
  return Number(asked ? asked[1] : process.versions.node.split('.')[0]);
}

function broken(message) {
  console.error(message);
  process.exit(1);
}

main();
