// AWS's SDK for JavaScript against the platform: what it makes of the answers, as one line of JSON.
import { createRequire } from "node:module";
import { deflateRawSync } from "node:zlib";

const require = createRequire(`${process.env.LAMBENT_TEST_NODE}/`);
const lambda = require("@aws-sdk/client-lambda");

const client = new lambda.LambdaClient({
  endpoint: process.argv[2],
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 1,
});
const FunctionName = `javascript-sdk-${process.pid}`;
const code = `exports.handler = async (event) => {
  if (event.fail) throw new TypeError("as asked");
  return { got: event };
};`;

const { State: created } = await client.send(
  new lambda.CreateFunctionCommand({
    FunctionName,
    Runtime: `nodejs${process.versions.node.split(".")[0]}.x`,
    Handler: "index.handler",
    Role: "arn:aws:iam::000000000000:role/lambda",
    Code: { ZipFile: zip("index.js", Buffer.from(code)) },
  }),
);
await lambda.waitUntilFunctionActiveV2({ client, maxWaitTime: 30, minDelay: 1 }, { FunctionName });
const good = await invoke({ n: 1 });
const bad = await invoke({ fail: true });
const missing = await client
  .send(new lambda.GetFunctionCommand({ FunctionName: "nowhere" }))
  .catch((error) => error);
const gone = await client.send(new lambda.DeleteFunctionCommand({ FunctionName }));

console.log(
  JSON.stringify({
    created,
    answer: good.payload,
    functionError: bad.FunctionError,
    error: bad.payload.errorType,
    missing: missing.name,
    deleted: gone.$metadata.httpStatusCode,
  }),
);

async function invoke(event) {
  const answer = await client.send(
    new lambda.InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }),
  );
  return { ...answer, payload: JSON.parse(Buffer.from(answer.Payload).toString()) };
}

// A zip with one file, by hand: node has no zip of its own.
function zip(name, content) {
  const body = deflateRawSync(content);
  const shared = Buffer.alloc(26);
  shared.writeUInt16LE(20, 0);
  shared.writeUInt16LE(8, 4);
  shared.writeUInt16LE(0x21, 8);
  shared.writeUInt32LE(crc32(content), 10);
  shared.writeUInt32LE(body.length, 14);
  shared.writeUInt32LE(content.length, 18);
  shared.writeUInt16LE(name.length, 22);
  const local = Buffer.concat([Buffer.from("PK\x03\x04"), shared, Buffer.from(name), body]);
  const central = Buffer.concat([
    Buffer.from("PK\x01\x02\x14\x03"),
    shared,
    Buffer.alloc(6),
    Buffer.from([0, 0, 0xa4, 0x81]),
    Buffer.alloc(4),
    Buffer.from(name),
  ]);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06");
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(local.length, 16);
  return Buffer.concat([local, central, end]);
}

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}
