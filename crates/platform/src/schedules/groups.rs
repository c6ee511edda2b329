//! Groups of schedules: making, reading, tagging, and deleting with all that is in them.

use std::collections::BTreeMap;

use store::{Page, Store, Tx};
use wire::{
    Context,
    scheduler::{CreateScheduleGroupInput, Tag},
};

use super::{
    Schedules, TIMERS,
    error::{Error, Result},
    key::{DEFAULT_GROUP, GroupKey},
    limits,
    tables::{GROUPS, Group, SCHEDULES},
};
use crate::timers;

/// Which group a request names.
pub fn key_of(cx: &Context, name: &str) -> GroupKey {
    GroupKey {
        account_id: cx.account_id.clone(),
        region: cx.region.clone(),
        name: name.to_owned(),
    }
}

/// A group that schedules can be put into.
pub fn require(tx: &mut Tx, key: &GroupKey, now_ms: i64) -> Result<Group> {
    match GROUPS.get(tx, &key.parts())? {
        Some(held) if held.record.is_deleting => Err(Error::GroupIsGoing(key.name.clone())),
        Some(held) => Ok(held.record),
        None if key.name == DEFAULT_GROUP => {
            let group = new(now_ms);
            GROUPS.insert(tx, &key.parts(), &group)?;
            Ok(group)
        }
        None => Err(Error::NoGroup(key.name.clone())),
    }
}

fn new(now_ms: i64) -> Group {
    Group {
        created_ms: now_ms,
        modified_ms: now_ms,
        is_deleting: false,
        tags: BTreeMap::new(),
        client_token: None,
    }
}

impl Schedules {
    /// Gives its ARN.
    pub(super) async fn create_group(
        &self,
        cx: &Context,
        input: CreateScheduleGroupInput,
    ) -> Result<String> {
        let key = key_of(cx, &input.name);
        let now_ms = self.0.clock.now_ms();
        let mut group = new(now_ms);
        group.client_token = input.client_token;
        tag(&mut group, input.tags.unwrap_or_default())?;
        let arn = key.arn();
        let written = self.0.store.try_write(move |tx| {
            if let Some(held) = GROUPS.get(tx, &key.parts())? {
                let held = held.record;
                let same = held.client_token.is_some()
                    && held.client_token == group.client_token
                    && held.tags == group.tags;
                return match same && !held.is_deleting {
                    true => Ok(()),
                    false => Err(Error::GroupExists(key.name.clone())),
                };
            }
            if key.name == DEFAULT_GROUP {
                return Err(Error::GroupExists(key.name.clone()));
            }
            if GROUPS.count(tx, &[&key.account_id, &key.region])? >= limits::GROUPS_MAX {
                return Err(Error::TooManyGroups(limits::GROUPS_MAX));
            }
            Ok(GROUPS.insert(tx, &key.parts(), &group)?)
        });
        written.await?;
        Ok(arn)
    }

    pub(super) async fn get_group(&self, key: &GroupKey) -> Result<Group> {
        let asked = key.clone();
        let found = self.0.store.read(move |tx| GROUPS.get(tx, &asked.parts()));
        if let Some(found) = found.await? {
            return Ok(found.record);
        }
        // The default group is there when it is asked for.
        let (key, now_ms) = (key.clone(), self.0.clock.now_ms());
        self.0
            .store
            .try_write(move |tx| require(tx, &key, now_ms))
            .await
    }

    /// What is in the group is deleted with it: at once if that is not too much, or soon.
    pub(super) async fn delete_group(&self, key: GroupKey) -> Result<()> {
        if key.name == DEFAULT_GROUP {
            return Err(Error::invalid(
                "The default schedule group cannot be deleted.",
            ));
        }
        let now_ms = self.0.clock.now_ms();
        let written = self.0.store.try_write(move |tx| {
            let held = GROUPS.get(tx, &key.parts())?;
            let held = held.ok_or_else(|| Error::NoGroup(key.name.clone()))?;
            let group = Group {
                is_deleting: true,
                modified_ms: now_ms,
                ..held.record
            };
            GROUPS.put(tx, &key.parts(), &group)?;
            Ok::<_, Error>(delete_some(tx, &key)?)
        });
        if !written.await? {
            self.0.wake.wake();
        }
        Ok(())
    }

    pub(super) async fn tag_group(&self, key: GroupKey, tags: Vec<Tag>) -> Result<()> {
        self.change_group(key, move |group| tag(group, tags.clone()))
            .await
    }

    pub(super) async fn untag_group(&self, key: GroupKey, keys: Vec<String>) -> Result<()> {
        self.change_group(key, move |group| {
            group.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        })
        .await
    }

    async fn change_group(
        &self,
        key: GroupKey,
        change: impl Fn(&mut Group) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let now_ms = self.0.clock.now_ms();
        let written = self.0.store.try_write(move |tx| {
            let mut group = require(tx, &key, now_ms)?;
            change(&mut group)?;
            GROUPS.put(tx, &key.parts(), &group)?;
            Ok(())
        });
        written.await
    }
}

/// Puts tags beside those that are there, over those of the same key.
fn tag(group: &mut Group, tags: Vec<Tag>) -> Result<()> {
    for Tag { key, value } in tags {
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Error::invalid(
                "Tag keys that start with aws: are reserved for system use.",
            ));
        }
        group.tags.insert(key, value);
    }
    match group.tags.len() <= limits::TAGS_MAX {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "A schedule group has at most {} tags.",
            limits::TAGS_MAX
        ))),
    }
}

/// Deletes some schedules of a group, and the group with the last of them. Says whether it is gone.
fn delete_some(tx: &mut Tx, key: &GroupKey) -> store::Result<bool> {
    let page = Page {
        prefix: &key.parts(),
        after: None,
        limit: limits::DELETED_AT_ONCE,
    };
    let some = SCHEDULES.list(tx, page)?;
    for held in &some {
        let schedule = key.schedule(held.key.name());
        SCHEDULES.delete(tx, &schedule.parts())?;
        timers::set(tx, TIMERS, &schedule.arn(), None)?;
    }
    let are_all = some.len() < limits::DELETED_AT_ONCE as usize;
    if are_all {
        GROUPS.delete(tx, &key.parts())?;
    }
    Ok(are_all)
}

/// Goes on with the groups that are being deleted.
pub async fn delete_rest(store: Store) -> store::Result<()> {
    let mut last: Option<Vec<String>> = None;
    loop {
        let after = last.clone();
        let some = store.read(move |tx| {
            let after: Option<Vec<&str>> = after
                .as_ref()
                .map(|after| after.iter().map(String::as_str).collect());
            GROUPS.list(
                tx,
                Page {
                    prefix: &[],
                    after: after.as_deref(),
                    limit: limits::READ_AT_ONCE,
                },
            )
        });
        let some = some.await?;
        let Some(end) = some.last() else {
            return Ok(());
        };
        last = Some(end.key.parts().map(str::to_owned).collect());
        for held in some.iter().filter(|held| held.record.is_deleting) {
            let parts: Vec<&str> = held.key.parts().collect();
            let [account_id, region, name] = parts[..] else {
                continue;
            };
            let key = GroupKey {
                account_id: account_id.to_owned(),
                region: region.to_owned(),
                name: name.to_owned(),
            };
            loop {
                let key = key.clone();
                if store.write(move |tx| delete_some(tx, &key)).await? {
                    break;
                }
            }
        }
    }
}
