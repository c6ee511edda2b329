// AWS's SDK for JavaScript, and two packages that applications put above it, on queues of the
// platform under test: what they make of it, as one line of JSON.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.LAMBENT_TEST_NODE}/`);
const sqs = require("@aws-sdk/client-sqs");
const { Consumer } = require("sqs-consumer");
const { Producer } = require("sqs-producer");

const client = new sqs.SQSClient({
  endpoint: process.argv[2],
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 1,
});
const ask = (Command, input) => client.send(new Command(input));
const create = async (name, Attributes = {}) =>
  (await ask(sqs.CreateQueueCommand, { QueueName: `${name}-${process.pid}`, Attributes })).QueueUrl;

console.log(JSON.stringify({ sdk: await sdk(), packages: await packages() }));

// The SDK alone: it checks digests by itself.
async function sdk() {
  const QueueUrl = await create("javascript-sdk");
  const sent = await ask(sqs.SendMessageBatchCommand, {
    QueueUrl,
    Entries: ["a", "b"].map((Id) => ({
      Id,
      MessageBody: `body ${Id}`,
      MessageAttributes: { n: { DataType: "Binary", BinaryValue: Uint8Array.from([0, 255]) } },
    })),
  });
  const { Messages } = await ask(sqs.ReceiveMessageCommand, {
    QueueUrl,
    MaxNumberOfMessages: 10,
    WaitTimeSeconds: 5,
    MessageAttributeNames: ["All"],
  });
  await ask(sqs.DeleteMessageBatchCommand, {
    QueueUrl,
    Entries: Messages.map(({ ReceiptHandle }, index) => ({ Id: `${index}`, ReceiptHandle })),
  });
  const missing = await ask(sqs.SendMessageCommand, {
    QueueUrl: `${QueueUrl}-not`,
    MessageBody: "m",
  }).catch((error) => error);
  await ask(sqs.DeleteQueueCommand, { QueueUrl });
  return {
    sent: sent.Successful.length,
    bodies: Messages.map(({ Body }) => Body).sort(),
    bytes: [...Messages[0].MessageAttributes.n.BinaryValue],
    missing: missing instanceof sqs.QueueDoesNotExist,
  };
}

// sqs-producer sends batches; sqs-consumer handles, deletes, gives back what fails and extends what
// takes long.
async function packages() {
  const deadUrl = await create("javascript-dead");
  const { Attributes } = await ask(sqs.GetQueueAttributesCommand, {
    QueueUrl: deadUrl,
    AttributeNames: ["QueueArn"],
  });
  const queueUrl = await create("javascript-work", {
    RedrivePolicy: JSON.stringify({
      deadLetterTargetArn: Attributes.QueueArn,
      maxReceiveCount: "2",
    }),
  });
  const producer = Producer.create({ queueUrl, region: "us-east-1", sqs: client });
  const bodies = Array.from({ length: 25 }, (_, number) => `work ${number}`);
  await producer.send([...bodies, "poison"].map((body, number) => ({ id: `${number}`, body })));
  const handled = [];
  const errors = [];
  let tries = 0;
  const consumer = Consumer.create({
    queueUrl,
    sqs: client,
    batchSize: 10,
    waitTimeSeconds: 5,
    visibilityTimeout: 2,
    heartbeatInterval: 1,
    terminateVisibilityTimeout: true,
    handleMessage: async (message) => {
      if (message.Body === "poison") {
        tries += 1;
        throw new Error("as asked");
      }
      // Longer than the visibility timeout: only the heartbeat keeps it ours.
      if (message.Body === "work 0") await new Promise((done) => setTimeout(done, 3500));
      handled.push(message.Body);
      return message;
    },
  });
  consumer.on("error", (error) => errors.push(`${error}`));
  consumer.on("processing_error", (error) => errors.push(`${error}`));
  const letter = new Promise((done, fail) => {
    const deadLetters = Consumer.create({
      queueUrl: deadUrl,
      sqs: client,
      waitTimeSeconds: 5,
      handleMessage: async (message) => {
        deadLetters.stop();
        done(message.Body);
        return message;
      },
    });
    deadLetters.on("error", fail);
    deadLetters.start();
  });
  consumer.start();
  const dead = await letter;
  while (handled.length < bodies.length) await new Promise((done) => setTimeout(done, 20));
  const stopped = new Promise((done) => consumer.on("stopped", done));
  consumer.stop();
  await stopped;
  const left = await producer.queueSize();
  return {
    handled: handled.length,
    once: new Set(handled).size === bodies.length,
    tries,
    dead,
    left,
    errors: [...new Set(errors)],
  };
}
