//! Names of schedules and groups, and their ARNs.

use wire::arn::Arn;

/// A group's name within an account and region; each has one of this name.
pub const DEFAULT_GROUP: &str = "default";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupKey {
    pub account_id: String,
    pub region: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleKey {
    pub account_id: String,
    pub region: String,
    pub group: String,
    pub name: String,
}

impl GroupKey {
    /// The key in the store.
    pub fn parts(&self) -> [&str; 3] {
        [&self.account_id, &self.region, &self.name]
    }

    pub fn arn(&self) -> String {
        let resource = format!("schedule-group/{}", self.name);
        Arn::new("scheduler", &self.region, &self.account_id, resource).to_string()
    }

    pub fn of_arn(arn: &str) -> Option<Self> {
        let arn: Arn = arn.parse().ok()?;
        let name = arn.resource.strip_prefix("schedule-group/");
        let name = name.filter(|_| arn.service == "scheduler")?.to_owned();
        Some(Self {
            account_id: arn.account_id,
            region: arn.region,
            name,
        })
    }

    pub fn schedule(&self, name: &str) -> ScheduleKey {
        ScheduleKey {
            account_id: self.account_id.clone(),
            region: self.region.clone(),
            group: self.name.clone(),
            name: name.to_owned(),
        }
    }
}

impl ScheduleKey {
    /// The key in the store.
    pub fn parts(&self) -> [&str; 4] {
        [&self.account_id, &self.region, &self.group, &self.name]
    }

    pub fn group_parts(&self) -> [&str; 3] {
        [&self.account_id, &self.region, &self.group]
    }

    pub fn group(&self) -> GroupKey {
        GroupKey {
            account_id: self.account_id.clone(),
            region: self.region.clone(),
            name: self.group.clone(),
        }
    }

    /// Also the name of its timer.
    pub fn arn(&self) -> String {
        let resource = format!("schedule/{}/{}", self.group, self.name);
        Arn::new("scheduler", &self.region, &self.account_id, resource).to_string()
    }

    pub fn of_arn(arn: &str) -> Option<Self> {
        let arn: Arn = arn.parse().ok()?;
        let (group, name) = arn.resource.strip_prefix("schedule/")?.split_once('/')?;
        let (group, name) = (group.to_owned(), name.to_owned());
        Some(Self {
            account_id: arn.account_id,
            region: arn.region,
            group,
            name,
        })
    }
}
