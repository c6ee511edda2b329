//! Buses and API destinations as targets of deliveries.
//!
//! An event from one bus to another stays what it is, but for its id when it goes to another
//! region. What goes in a circle ends: each bus that an event has been on is counted in its trace
//! header.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;
use wire::arn::Arn;

use super::{
    Buses,
    destination::{KIND, RATE_PER_S},
    event::{Envelope, Event},
    held::Bus,
    limits,
    names::{BusKey, DEFAULT, Named},
    put::{Arriving, fired},
    request::request,
    tables::ConnectionState,
};
use crate::{
    deliveries::{Delivery, Failure, Parameters, Plan, Target, ToDestination},
    functions::lineage,
    identity::Principal,
    outbound,
};

/// A request that may not go at once waits so long at most; then it is tried again later.
const PACE_WAIT_MAX: Duration = Duration::from_secs(1);

#[async_trait]
impl Target for Buses {
    async fn plan(&self, delivery: &Delivery) -> Result<Plan, Failure> {
        let Some(key) = bus_of(&delivery.target) else {
            self.destined(delivery)?;
            return Ok(Plan::Try);
        };
        if self.has_nobody(&key) {
            return Ok(Plan::Spread(Vec::new()));
        }
        let (bus, event) = self.arriving(&key, delivery)?;
        // What an archive keeps needs a transaction of its own.
        if !bus.archives.is_empty() {
            return Ok(Plan::Try);
        }
        let rules = bus.matching(&event.value).into_iter();
        Ok(Plan::Spread(
            rules.flat_map(|rule| fired(rule, &event)).collect(),
        ))
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        match bus_of(&delivery.target) {
            Some(key) if self.has_nobody(&key) => Ok(()),
            Some(key) => {
                let (bus, event) = self.arriving(&key, delivery)?;
                let taken = self.accept(vec![Arriving { bus, event }]).await;
                taken.map_err(|error| Failure::again("INTERNAL_ERROR", error.to_string()))
            }
            None => self.send_to_destination(delivery).await.map(drop),
        }
    }
}

fn bus_of(arn: &str) -> Option<BusKey> {
    let arn: Arn = arn.parse().ok()?;
    BusKey::of(&arn)
}

impl Buses {
    /// Whether it is a default bus that nobody has used yet: it is there, and has no rules.
    fn has_nobody(&self, key: &BusKey) -> bool {
        key.name == DEFAULT && self.0.buses.get(key).is_none()
    }

    fn arriving(&self, key: &BusKey, delivery: &Delivery) -> Result<(Arc<Bus>, Event), Failure> {
        let bus = self.0.buses.get(key).ok_or_else(|| {
            Failure::last(
                "NO_RESOURCE",
                format!("Event bus {} does not exist.", key.name),
            )
        })?;
        let now_ms = self.0.clock.now_ms();
        let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let from = &delivery.from;
        let source = (from.source_arn.as_str(), from.account_id.as_str());
        if !bus.admits(&asks(delivery), source, now) {
            return Err(delivery.not_allowed("events:PutEvents"));
        }
        let mark = lineage::mark_of(&key.arn());
        let header = delivery.trace_header.as_deref();
        if lineage::runs_of(header, &mark) >= lineage::RUNS_MAX {
            return Err(Failure::last(
                "RECURSION",
                "The event has been on this event bus too often: the rules send it in a circle.",
            ));
        }
        let trace = Some(lineage::with_run(header, &mark));
        let event = match &delivery.parameters {
            Parameters::Events(given) => {
                let time_ms = given.time_ms.unwrap_or(now_ms);
                let envelope = Envelope {
                    id: &delivery.id,
                    detail_type: &given.detail_type,
                    source: &given.source,
                    account_id: &from.account_id,
                    time: Timestamp::from_millisecond(time_ms).unwrap_or(now),
                    region: &from.region,
                    resources: &given.resources,
                };
                Event::new(envelope, &delivery.body, now, trace)
            }
            _ => Event::read(delivery.body.clone(), now, trace),
        };
        let event =
            event.ok_or_else(|| Failure::last("INVALID_PARAMETER", "Detail is malformed."))?;
        Ok(match from.region == key.region {
            true => (bus, event),
            false => (bus, event.renamed(Uuid::new_v4().to_string())),
        })
    }

    /// The destination of a delivery, if it may be sent to.
    fn destined(
        &self,
        delivery: &Delivery,
    ) -> Result<Arc<super::tables::DestinationRecord>, Failure> {
        let key = Named::of(&delivery.target, KIND);
        let found = key.and_then(|key| self.0.destinations.get(&key));
        let found = found.filter(|record| record.arn() == delivery.target);
        let record = found
            .ok_or_else(|| Failure::last("NO_RESOURCE", "The API destination does not exist"))?;
        match record.key.account_id == delivery.from.account_id {
            true => Ok(record),
            false => Err(delivery.not_allowed("events:InvokeApiDestination")),
        }
    }

    /// Gives the body of the answer.
    pub(crate) async fn send_to_destination(&self, delivery: &Delivery) -> Result<Bytes, Failure> {
        let record = self.destined(delivery)?;
        let connection = self.0.connections.get(&record.connection);
        let gone = || Failure::last("NO_RESOURCE", "The connection does not exist");
        let connection = connection.ok_or_else(gone)?;
        if connection.state == ConnectionState::Deauthorized {
            let message = "The connection is not authorized";
            return Err(Failure::again("CONNECTION_FAILURE", message));
        }
        let per_s = record.rate_per_s.unwrap_or(RATE_PER_S);
        let wait = self
            .0
            .paces
            .wait(&record.key, per_s, Instant::now(), PACE_WAIT_MAX);
        let too_many = || Failure::again("THROTTLING", "The invocation rate limit is reached");
        tokio::time::sleep(wait.ok_or_else(too_many)?).await;
        let auth = self.open_auth(&connection);
        let auth = auth.map_err(|error| Failure::again("INTERNAL_ERROR", error.to_string()))?;
        let token = self.token(&connection).await?;
        let nothing = ToDestination::default();
        let given = match &delivery.parameters {
            Parameters::Destination(given) => given,
            _ => &nothing,
        };
        let endpoint = (record.method.as_str(), record.endpoint.as_str());
        let request = request(endpoint, &auth, token.as_deref(), given, &delivery.body);
        let request =
            request.map_err(|error| Failure::last("INVALID_PARAMETER", error.to_string()))?;
        let (within, bytes_max) = (limits::REQUEST_WITHIN, limits::ANSWER_BYTES_MAX);
        let answer = self.0.outbound.send(request, within, bytes_max).await;
        let answer = answer.map_err(outbound::failure)?;
        let status = answer.status;
        let said = format!("The API destination answered with status {status}");
        match status.as_u16() {
            200..=299 => Ok(answer.body),
            401 | 407 => {
                self.0.tokens.forget(&connection.uid);
                Err(Failure::again("CONNECTION_FAILURE", said))
            }
            409 | 429 | 500..=599 => Err(Failure::again("SDK_CLIENT_ERROR", said)),
            _ => Err(Failure::last("SDK_CLIENT_ERROR", said)),
        }
    }
}

/// Who puts the event on the bus: the role, or the account of who sends it.
fn asks(delivery: &Delivery) -> Principal {
    let session = delivery.role.as_deref();
    let session = session.and_then(|role| Principal::session_of(role, "events"));
    session.unwrap_or_else(|| Principal::Account {
        account_id: delivery.from.account_id.clone(),
    })
}
