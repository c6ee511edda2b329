//! What the clients do: producers and consumers that decide by chance, from seeds of their own, and
//! in the end those that empty the queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Notify;

use crate::client::{Client, Handle, Message, Target};
use crate::history::{DeadLetters, History, Outcome, Queue};
use crate::random::Random;

/// Few, so that they are always contended.
const GROUPS: u64 = 6;
/// Producers wait while more is on its way than this.
const BACKLOG_MAX: i64 = 800;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(90);
const VISIBILITY_S: u32 = 2;

/// What all clients share.
pub struct Scene {
    pub targets: Vec<Target>,
    pub stop: AtomicBool,
    /// Messages that were sent and not deleted, as far as clients know.
    backlog: AtomicI64,
    /// Steps of clients so far, and who waits for more.
    steps: AtomicU64,
    stepped: Notify,
}

/// The queues of a run: standard ones and FIFO ones, each kind with and without dead letters.
fn queues() -> Vec<Queue> {
    let queue = |name: &str, dead: Option<usize>| Queue {
        name: name.to_owned(),
        dead_letters: dead.map(|queue| DeadLetters {
            queue,
            receives_max: 3,
        }),
    };
    vec![
        queue("dead", None),
        queue("dead.fifo", None),
        queue("plain", None),
        queue("tried", Some(0)),
        queue("orders.fifo", None),
        queue("parts.fifo", None),
        queue("tried.fifo", Some(1)),
    ]
}

/// Those that messages are sent to.
const SENT_TO: std::ops::Range<usize> = 2..7;

impl Scene {
    pub async fn make(client: &mut Client) -> Self {
        let mut targets = Vec::new();
        for queue in queues() {
            let url = create(client, &queue).await;
            targets.push(Target { queue, url });
        }
        Scene {
            targets,
            stop: AtomicBool::new(false),
            backlog: AtomicI64::new(0),
            steps: AtomicU64::new(0),
            stepped: Notify::new(),
        }
    }

    pub fn queues(&self) -> Vec<Queue> {
        let queues = self.targets.iter().map(|target| target.queue.clone());
        queues.collect()
    }

    /// Waits until the clients have done so much more.
    pub async fn more(&self, steps: u64) {
        let goal = self.steps.load(Ordering::Relaxed) + steps;
        while self.steps.load(Ordering::Relaxed) < goal {
            self.stepped.notified().await;
        }
    }

    /// Whether a client shall take its next step.
    fn goes_on(&self) -> bool {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.stepped.notify_one();
        !self.stop.load(Ordering::Relaxed)
    }
}

async fn create(client: &mut Client, queue: &Queue) -> String {
    let mut attributes = json!({"VisibilityTimeout": VISIBILITY_S.to_string()});
    if queue.is_fifo() {
        attributes["FifoQueue"] = "true".into();
    }
    if queue.name == "parts.fifo" {
        attributes["DeduplicationScope"] = "messageGroup".into();
        attributes["FifoThroughputLimit"] = "perMessageGroupId".into();
    }
    if let Some(dead) = queue.dead_letters {
        let name = &queues()[dead.queue].name;
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
        let policy = json!({"deadLetterTargetArn": arn, "maxReceiveCount": dead.receives_max});
        attributes["RedrivePolicy"] = policy.to_string().into();
    }
    let input = json!({"QueueName": queue.name, "Attributes": attributes});
    let (_, answer) = client.call("CreateQueue", &input).await;
    let answer = answer.done().expect("the queue is made");
    answer["QueueUrl"]
        .as_str()
        .expect("it has a URL")
        .to_owned()
}

/// Sends, alone or in batches; what may not have arrived is often sent again, as SDKs do, and some
/// of what has arrived too.
pub async fn produce(scene: Arc<Scene>, mut client: Client, mut random: Random) -> History {
    while scene.goes_on() {
        if scene.backlog.load(Ordering::Relaxed) > BACKLOG_MAX {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let index = SENT_TO.start + random.below(SENT_TO.len() as u64) as usize;
        let target = &scene.targets[index];
        let messages = new_messages(&mut client, &mut random, target);
        let outcomes = client.send(index, target, &messages).await;
        let sent = outcomes.iter().filter(|one| one.done().is_some()).count();
        scene.backlog.fetch_add(sent as i64, Ordering::Relaxed);
        let unsure = outcomes.contains(&Outcome::Unknown);
        if target.queue.is_fifo() && random.one_in(if unsure { 2 } else { 12 }) {
            client.send(index, target, &messages).await;
        }
    }
    client.history
}

fn new_messages(client: &mut Client, random: &mut Random, target: &Target) -> Vec<Message> {
    let is_fifo = target.queue.is_fifo();
    let count = if random.one_in(2) {
        1
    } else {
        2 + random.below(9)
    };
    // A batch often is of one group.
    let group = random.below(GROUPS) as u32;
    let one_group = random.one_in(2);
    let mut message = || Message {
        number: client.fresh(),
        group: is_fifo.then(|| match one_group {
            true => group,
            false => random.below(GROUPS) as u32,
        }),
        delay_s: u32::from(!is_fifo && random.one_in(10)),
    };
    (0..count).map(|_| message()).collect()
}

/// Receives, and deletes most of it; the rest it gives back, keeps longer or forgets.
pub async fn consume(scene: Arc<Scene>, mut client: Client, mut random: Random) -> History {
    while scene.goes_on() {
        let index = random.below(scene.targets.len() as u64) as usize;
        let target = &scene.targets[index];
        let max = 1 + random.below(10) as usize;
        let wait_s = u32::from(random.one_in(3));
        let visibility_s = 1 + random.below(3) as u32;
        let handles = client
            .receive(index, target, (max, wait_s, visibility_s))
            .await;
        let mut rest = handles.as_slice();
        while !rest.is_empty() {
            let (some, others) = rest.split_at(1 + random.below(rest.len() as u64) as usize);
            treat(&scene, &mut client, &mut random, target, some).await;
            rest = others;
        }
    }
    client.history
}

async fn treat(
    scene: &Scene,
    client: &mut Client,
    random: &mut Random,
    target: &Target,
    handles: &[Handle],
) {
    match random.below(20) {
        0 => return,
        1 => return client.change_visibility(target, handles, 0).await,
        2 => {
            let to_s = 1 + random.below(3) as u32;
            client.change_visibility(target, handles, to_s).await;
            // Long enough, at times, to come too late.
            let hold = Duration::from_millis(random.below(1_500));
            tokio::time::sleep(hold).await;
        }
        3..6 => tokio::time::sleep(Duration::from_millis(random.below(40))).await,
        _ => (),
    }
    client.delete(target, handles).await;
    let count = handles.len() as i64;
    scene.backlog.fetch_sub(count, Ordering::Relaxed);
}

/// Takes and deletes until the queues say that they are empty; gives what they say otherwise.
pub async fn drain(scene: Arc<Scene>, mut client: Client) -> (History, Vec<String>) {
    let begun = Instant::now();
    let mut left = Vec::new();
    // Dead letters come last, from the others.
    for (index, target) in scene.targets.iter().enumerate().rev() {
        let mut wait_s = 0;
        loop {
            let handles = client.receive(index, target, (10, wait_s, 30)).await;
            if !handles.is_empty() {
                client.delete(target, &handles).await;
                continue;
            }
            let counts = counts(&mut client, target).await;
            if counts == [0, 0, 0] {
                break;
            }
            if begun.elapsed() > DRAIN_TIME_MAX {
                left.push(format!("{}: {counts:?}", target.queue.name));
                break;
            }
            // What is in flight, or delayed, is there in seconds.
            wait_s = 1;
        }
    }
    (client.history, left)
}

/// Visible, in flight, delayed.
async fn counts(client: &mut Client, target: &Target) -> [u64; 3] {
    let input = json!({"QueueUrl": target.url, "AttributeNames": ["All"]});
    let (_, answer) = client.call("GetQueueAttributes", &input).await;
    let answer = answer.done().expect("a queue tells its attributes");
    ["", "NotVisible", "Delayed"].map(|which| {
        let count = &answer["Attributes"][format!("ApproximateNumberOfMessages{which}")];
        let count = count.as_str().and_then(|count| count.parse().ok());
        count.expect("a queue counts its messages")
    })
}
