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
const EVENT = '{"warm":[1,"up"]}';
const ANSWER = 'HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: warm-up\r\n' +
  'Lambda-Runtime-Deadline-Ms: 0\r\nContent-Type: application/json\r\n' +
  `Content-Length: ${EVENT.length}\r\n\r\n${EVENT}`;
const ACCEPTED = 'HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n';

async function warmUp() {
  try {
    // As a module of the one kind and of the other, as nobody knows which it will be.
    const user = await load(__dirname, 'lambent-warm-handler.handler');
    await serve(user, 20);
    await serve(user, 24);
  } catch {} // then the first invocation takes longer
  delete globalThis.awslambda;
  invocation.requestId = undefined;
}

// Resolves when the rounds are done and all is closed, or cannot be had.
function serve(user, nodeVersion) {
  return new Promise((resolve, reject) => {
    let rounds = 0;
    const server = net.createServer(socket => {
      socket.on('error', reject);
      socket.on('data', () => {
        if (rounds < ROUNDS) socket.write((rounds ? ACCEPTED : '') + ANSWER);
        else socket.destroy();
        rounds++;
      });
    });
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      let runtime = null;
      const api = new RuntimeApi(`127.0.0.1:${server.address().port}`, () => {
        api.close();
        runtime.close();
        server.close(resolve);
      }, reject);
      runtime = new Runtime(api, user, nodeVersion);
      api.next();
    });
  });
}

module.exports = { warmUp };
