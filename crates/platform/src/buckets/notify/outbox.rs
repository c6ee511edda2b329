//! From where it is written what is to be told to the deliveries.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::params;

use crate::{
    background::{Background, Wake},
    buckets::{Buckets, limits, registry::Bucket, rows},
    deliveries::{Delivery, DeliveryError, Parameters, Sender, ToBus},
};

/// Something to be told, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outgoing {
    pub target: String,
    pub body: String,
    pub bucket_arn: String,
    pub account_id: String,
    pub region: String,
    /// Of an event for a bus.
    pub detail_type: Option<String>,
    pub at: Timestamp,
}

impl Outgoing {
    pub fn new(bucket: &Bucket, target: String, at: Timestamp) -> Self {
        Self {
            target,
            body: String::new(),
            bucket_arn: bucket.arn(),
            account_id: bucket.record.account_id.clone(),
            region: bucket.record.region.clone(),
            detail_type: None,
            at,
        }
    }

    pub fn delivery(self) -> Delivery {
        let from = Sender {
            principal: "s3.amazonaws.com".to_owned(),
            source_arn: self.bucket_arn.clone(),
            account_id: self.account_id,
            region: self.region,
        };
        let mut delivery = Delivery::new(from, self.target, self.body);
        if delivery.kind() == "sns" {
            delivery.parameters = Parameters::Sns(crate::deliveries::ToTopic {
                subject: Some("Amazon S3 Notification".to_owned()),
                ..Default::default()
            });
        }
        if let Some(detail_type) = self.detail_type {
            delivery.parameters = Parameters::Events(ToBus {
                source: "aws.s3".to_owned(),
                detail_type,
                resources: vec![self.bucket_arn],
                time_ms: Some(self.at.as_millisecond()),
            });
        }
        delivery
    }
}

/// The bus that gets what S3 tells.
pub fn default_bus(bucket: &Bucket) -> String {
    let record = &bucket.record;
    let partition = wire::arn::partition(&record.region);
    format!(
        "arn:{partition}:events:{}:{}:event-bus/default",
        record.region, record.account_id
    )
}

impl Buckets {
    pub(in crate::buckets) fn keep_telling(&self, background: &Background, wake: Wake) {
        let this = self.clone();
        background.keep("bucket-events", limits::TELL_EVERY, wake, move || {
            let this = this.clone();
            async move { this.send_told().await }
        });
    }

    /// Something may have been told.
    pub(in crate::buckets) fn events_came(&self, bucket: &Bucket) {
        if !bucket.record.notification.is_silent() {
            self.telling().wake();
        }
    }

    /// Hands everything that was told to the deliveries, in its order.
    pub(in crate::buckets) async fn send_told(&self) -> Result<(), DeliveryError> {
        loop {
            let read = self.store().read(|tx| {
                let sql = "SELECT seq, version, body FROM object_events ORDER BY seq LIMIT $1";
                let found = tx.query(sql, params![limits::TELL_AT_ONCE])?;
                let outgoing = found
                    .iter()
                    .map(|row| Ok((row.get("seq")?, rows::decode(row, "an event")?)));
                outgoing.collect::<store::Result<Vec<(i64, Outgoing)>>>()
            });
            let told = read.await?;
            if told.is_empty() {
                return Ok(());
            }
            let (seqs, outgoing): (Vec<i64>, Vec<Outgoing>) = told.into_iter().unzip();
            let deliveries = outgoing.into_iter().map(Outgoing::delivery).collect();
            let staged = self.deliveries().stage(deliveries).await?;
            let rows = staged.rows();
            let store = self.store().clone();
            // To its end: what was given a number is told how that ended.
            let handed_over = tokio::spawn(async move {
                let written = store.write(move |tx| {
                    rows.insert(tx)?;
                    for seq in &seqs {
                        let sql = "DELETE FROM object_events WHERE seq = $1";
                        tx.execute(sql, params![*seq])?;
                    }
                    Ok(())
                });
                let written = written.await;
                if written.is_ok() {
                    staged.committed(true);
                }
                written
            });
            handed_over.await.unwrap_or(Err(store::Error::Closed))?;
        }
    }
}
