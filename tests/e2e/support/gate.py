"""A test and its function that wait for each other by queues: neither looks at a clock."""

from support import queues

# Development mode takes anybody's word, and a function's in any case.
SIGNATURE = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64
)

# The function's side, in Node.js without an SDK.
NODE_GATE = """
const queue = async (action, body) => {
  const answer = await fetch(process.env.AWS_ENDPOINT_URL, {
    method: "POST",
    headers: {
      "x-amz-target": `AmazonSQS.${action}`,
      "content-type": "application/x-amz-json-1.0",
      "x-amz-date": "20260101T000000Z",
      authorization: "SIGNATURE",
    },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
};
const released = gate => queue("ReceiveMessage", { QueueUrl: gate.release, WaitTimeSeconds: 20 });
const tell = (gate, text) => queue("SendMessage", { QueueUrl: gate.told, MessageBody: text });
""".replace("SIGNATURE", SIGNATURE)


class Gate:
    def __init__(self, sqs, name):
        self.sqs = sqs
        self.urls = {
            kind: sqs.create_queue(QueueName=f"{name}-{kind}")["QueueUrl"]
            for kind in ("release", "told")
        }

    def release(self) -> None:
        self.sqs.send_message(QueueUrl=self.urls["release"], MessageBody="go")

    def told(self) -> str:
        """What the function says next."""
        messages = queues.receive(self.sqs, self.urls["told"], wait_s=20)
        queues.delete(self.sqs, self.urls["told"], messages)
        return messages[0]["Body"]

    def delete(self) -> None:
        for url in self.urls.values():
            self.sqs.delete_queue(QueueUrl=url)
