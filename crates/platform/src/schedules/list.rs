//! Lists in pages, whose tokens say behind what to go on.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use store::{Page, ReadTx, Stored};
use wire::{
    Context,
    scheduler::{ListScheduleGroupsInput, ListSchedulesInput},
};

use super::{
    Schedules,
    error::{Error, Result},
    groups,
    key::{DEFAULT_GROUP, GroupKey, ScheduleKey},
    limits,
    tables::{GROUPS, Group, SCHEDULES, Schedule},
};

/// What is listed, and the token of the next page if there may be one.
pub type Listed<K, R> = (Vec<(K, R)>, Option<String>);

impl Schedules {
    pub(super) async fn list(
        &self,
        cx: &Context,
        input: ListSchedulesInput,
    ) -> Result<Listed<ScheduleKey, Schedule>> {
        let after = input.next_token.as_deref().map(read::<2>).transpose()?;
        if let Some(group) = &input.group_name {
            self.get_group(&groups::key_of(cx, group)).await?;
        }
        let max = page_size(input.max_results);
        let search = Search {
            account_id: cx.account_id.clone(),
            region: cx.region.clone(),
            group: input.group_name,
            name_prefix: input.name_prefix.unwrap_or_default(),
            is_enabled: input.state.map(|state| state == "ENABLED"),
        };
        let found = self
            .0
            .store
            .read(move |tx| search.run(tx, after.clone(), max));
        let (found, last) = found.await?;
        Ok((found, last.map(|[group, name]| write(&[&group, &name]))))
    }

    pub(super) async fn list_groups(
        &self,
        cx: &Context,
        input: ListScheduleGroupsInput,
    ) -> Result<Listed<GroupKey, Group>> {
        let after = input.next_token.as_deref().map(read::<1>).transpose()?;
        // So that it is there.
        self.get_group(&groups::key_of(cx, DEFAULT_GROUP)).await?;
        let (account_id, region) = (cx.account_id.clone(), cx.region.clone());
        let groups = self.0.store.read(move |tx| {
            let prefix = [account_id.as_str(), region.as_str()];
            let limit = u32::try_from(limits::GROUPS_MAX).unwrap_or(u32::MAX);
            GROUPS.list(
                tx,
                Page {
                    prefix: &prefix,
                    after: None,
                    limit: limit + 1,
                },
            )
        });
        let prefix = input.name_prefix.unwrap_or_default();
        let is_next = |held: &Stored<Group>| {
            let name = held.key.name();
            let is_behind = after.as_ref().is_none_or(|[after]| name > after.as_str());
            is_behind && name.starts_with(&prefix)
        };
        let mut groups = groups.await?.into_iter().filter(is_next);
        let max = page_size(input.max_results);
        let page: Vec<(GroupKey, Group)> = groups
            .by_ref()
            .take(max)
            .map(|held| (groups::key_of(cx, held.key.name()), held.record))
            .collect();
        let has_more = groups.next().is_some();
        let last = page.last().filter(|_| has_more);
        let token = last.map(|(key, _)| write(&[&key.name]));
        Ok((page, token))
    }
}

/// Which schedules are looked for.
struct Search {
    account_id: String,
    region: String,
    group: Option<String>,
    name_prefix: String,
    is_enabled: Option<bool>,
}

type Place = [String; 2];

/// What was found, and behind what to go on.
type Found = (Vec<(ScheduleKey, Schedule)>, Option<Place>);

impl Search {
    /// Reads until the page is full, or enough was read for one request.
    fn run(&self, tx: &mut ReadTx, mut after: Option<Place>, max: usize) -> store::Result<Found> {
        let mut prefix = vec![self.account_id.as_str(), self.region.as_str()];
        prefix.extend(self.group.as_deref());
        let (mut found, mut read) = (Vec::new(), 0);
        loop {
            let place = after.as_ref().map(|[group, name]| {
                [
                    &self.account_id,
                    &self.region,
                    group.as_str(),
                    name.as_str(),
                ]
            });
            let some = SCHEDULES.list(
                tx,
                Page {
                    prefix: &prefix,
                    after: place.as_ref().map(|place| &place[..]),
                    limit: limits::READ_AT_ONCE,
                },
            )?;
            let are_all = some.len() < limits::READ_AT_ONCE as usize;
            for held in some {
                let Some(key) = self.key(&held) else { continue };
                if found.len() == max {
                    return Ok((found, after));
                }
                after = Some([key.group.clone(), key.name.clone()]);
                if self.matches(&key, &held.record) {
                    found.push((key, held.record));
                }
                read += 1;
            }
            if are_all {
                return Ok((found, None));
            }
            if read >= limits::PAGE_READ_MAX {
                return Ok((found, after));
            }
        }
    }

    fn key(&self, held: &Stored<Schedule>) -> Option<ScheduleKey> {
        let mut parts = held.key.parts().skip(2);
        Some(ScheduleKey {
            account_id: self.account_id.clone(),
            region: self.region.clone(),
            group: parts.next()?.to_owned(),
            name: parts.next()?.to_owned(),
        })
    }

    fn matches(&self, key: &ScheduleKey, schedule: &Schedule) -> bool {
        let is_in_state = self.is_enabled.is_none_or(|is| is == schedule.is_enabled);
        is_in_state && key.name.starts_with(&self.name_prefix)
    }
}

fn page_size(asked: Option<i32>) -> usize {
    let asked = asked.and_then(|asked| usize::try_from(asked).ok());
    asked.unwrap_or(limits::PAGE_MAX).clamp(1, limits::PAGE_MAX)
}

fn write(place: &[&str]) -> String {
    URL_SAFE_NO_PAD.encode(place.join("/"))
}

fn read<const N: usize>(token: &str) -> Result<[String; N]> {
    let decoded = URL_SAFE_NO_PAD.decode(token).ok();
    let place = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let place = place.and_then(|place| {
        let parts: Vec<String> = place.split('/').map(str::to_owned).collect();
        let is_name = |part: &String| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            !part.is_empty() && part.bytes().all(allowed)
        };
        parts.iter().all(is_name).then_some(parts)?.try_into().ok()
    });
    place.ok_or_else(|| Error::invalid("Invalid NextToken."))
}
