// What a process can do while it waits in a pool for whom it will serve: a few invocations of a
// handler of the runtime's own, through a small Runtime API in the same process. Afterwards the
// modules, sockets and code paths that the first real invocation needs have been used once, which
// saves it several milliseconds. It leaves nothing behind, and where it fails nothing is lost.
'use strict';

const net = require('net');
const { RuntimeApi } = require('./lambent-api.cjs');
const { load } = require('./lambent-load.cjs');
const { Runtime } = require('./lambent-invoke.cjs');
const { invocation } = require('./lambent-log.cjs');

const ROUNDS = 10;
const PATIENCE_MS = 500;
const EVENT = '{"warm":[1,"up"]}';
const ANSWER = 'HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: warm-up\r\n' +
  'Lambda-Runtime-Deadline-Ms: 0\r\nContent-Type: application/json\r\n' +
  `Content-Length: ${EVENT.length}\r\n\r\n${EVENT}`;
const ACCEPTED = 'HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n';

async function warmUp() {
  try {
    const user = await load(__dirname, 'lambent-warm.handler');
    // Nobody knows whether it will be an ES module, whose loader is the slower one to begin.
    await import('data:text/javascript,export default 1');
    await import(require('url').pathToFileURL(__filename));
    await require('fs/promises').readFile(__filename);
    await serve(user, 20);
    await serve(user, 24);
  } catch {} // then the first invocation takes longer
  delete globalThis.awslambda;
  invocation.requestId = undefined;
}

// Resolves when the rounds are done, or cannot be had, and all is closed.
function serve(user, nodeVersion) {
  return new Promise(resolve => {
    let rounds = 0;
    let api = null;
    let runtime = null;
    const sockets = [];
    const server = net.createServer(socket => {
      sockets.push(socket);
      socket.on('error', end);
      socket.on('data', () => {
        if (rounds < ROUNDS) socket.write((rounds ? ACCEPTED : '') + ANSWER);
        else end();
        rounds++;
      });
    });
    const timer = setTimeout(end, PATIENCE_MS);
    function end() {
      clearTimeout(timer);
      api?.close();
      runtime?.close();
      for (const socket of sockets) socket.destroy();
      server.close(resolve);
    }
    server.on('error', end);
    server.listen(0, '127.0.0.1', () => {
      api = new RuntimeApi(`127.0.0.1:${server.address().port}`, end, end);
      runtime = new Runtime(api, user, nodeVersion);
      api.next();
    });
  });
}

module.exports = { warmUp, handler: async event => event };
