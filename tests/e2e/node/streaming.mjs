// A response stream as AWS's SDK for JavaScript reads it, as one line of JSON. The function goes on
// when the first piece has been read.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.LAMBENT_TEST_NODE}/`);
const lambda = require("@aws-sdk/client-lambda");
const sqs = require("@aws-sdk/client-sqs");

const [endpoint, FunctionName, urls] = process.argv.slice(2);
const gate = JSON.parse(urls);
const options = {
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 1,
};
const answer = await new lambda.LambdaClient(options).send(
  new lambda.InvokeWithResponseStreamCommand({ FunctionName, Payload: JSON.stringify({ gate }) }),
);
const text = (event) => Buffer.from(event.PayloadChunk.Payload).toString();
const events = answer.EventStream[Symbol.asyncIterator]();
const first = text((await events.next()).value);
await new sqs.SQSClient(options).send(
  new sqs.SendMessageCommand({ QueueUrl: gate.release, MessageBody: "go" }),
);
let rest = "";
let complete = false;
for (let next = await events.next(); !next.done; next = await events.next()) {
  if (next.value.InvokeComplete) complete = true;
  else rest += text(next.value);
}
console.log(
  JSON.stringify({
    status: answer.StatusCode,
    version: answer.ExecutedVersion,
    first,
    rest,
    complete,
  }),
);
