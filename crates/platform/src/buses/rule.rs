//! Rules: making and changing them, showing them, and switching them on and off.

use std::{collections::BTreeMap, sync::Arc};

use wire::{Context, event_bridge as api};

use super::{
    Buses,
    bus::Changing,
    error::{Error, Result},
    held::{Bus, Rule},
    limits,
    names::{BusKey, DEFAULT},
    paging::{begins, page},
    schedule,
    tables::{RULES, RuleRecord, RuleState},
    tags,
};

impl Buses {
    pub(super) async fn put_rule_of(
        &self,
        cx: &Context,
        input: api::PutRuleRequest,
    ) -> Result<api::PutRuleResponse> {
        let key = self.key(cx, input.event_bus_name.as_deref())?;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let pattern = given(input.event_pattern);
        let expression = given(input.schedule_expression);
        if pattern.is_none() && expression.is_none() {
            return Err(Error::invalid(
                "Parameter(s) EventPattern or ScheduleExpression must be specified.",
            ));
        }
        if expression.is_some() && key.name != DEFAULT {
            return Err(Error::invalid(
                "ScheduleExpression is supported only on the default event bus.",
            ));
        }
        if let Some(expression) = &expression {
            schedule::check(expression)?;
        }
        self.assure_default(&key, cx.now).await?;
        let changing = self.0.changing.lock().await;
        let bus = self.bus(&key)?;
        let held = bus.rules.get(&input.name).map(|rule| rule.record.clone());
        if held.is_none() && bus.rules.len() >= limits::RULES_MAX {
            return Err(Error::OverLimit);
        }
        let mut tags = BTreeMap::new();
        tags::add(&mut tags, input.tags.unwrap_or_default())?;
        let mut record = RuleRecord {
            bus: key,
            name: input.name,
            pattern,
            schedule: expression,
            state: RuleState::read(input.state.as_deref()),
            description: input.description,
            role: input.role_arn,
            targets: Vec::new(),
            tags,
            created_by: cx.account_id.clone(),
            scheduled_from: cx.now,
            next_fire_ms: None,
        };
        if let Some(held) = held {
            // Tags are given to a rule that is made; on one that is there they are changed by
            // TagResource.
            record.targets = held.targets;
            record.tags = held.tags;
            record.created_by = held.created_by;
            if held.schedule == record.schedule {
                record.scheduled_from = held.scheduled_from;
            }
        }
        schedule::arm(&mut record, cx.now);
        let arn = record.arn();
        self.store_rule(&changing, &bus, Rule::new(record)?).await?;
        Ok(api::PutRuleResponse {
            rule_arn: Some(arn),
        })
    }

    pub(super) async fn delete_rule_of(
        &self,
        cx: &Context,
        name: &str,
        bus: Option<&str>,
    ) -> Result<()> {
        let key = self.key(cx, bus)?;
        let _changing = self.0.changing.lock().await;
        let Some(bus) = self.0.buses.get(&key) else {
            return match key.name.as_str() {
                DEFAULT => Ok(()),
                _ => Err(Error::NoBus(key.name)),
            };
        };
        let Some(rule) = bus.rules.get(name) else {
            return Ok(());
        };
        if !rule.record.targets.is_empty() {
            return Err(Error::invalid(
                "Rule can't be deleted since it has targets.",
            ));
        }
        let record = rule.record.clone();
        let gone = move |tx: &mut store::Tx| RULES.delete(tx, &record.parts());
        self.0.store.write(gone).await?;
        self.0.buses.put(key, bus.without_rule(name));
        Ok(())
    }

    pub(super) async fn switch_rule(
        &self,
        cx: &Context,
        name: &str,
        bus: Option<&str>,
        state: RuleState,
    ) -> Result<()> {
        self.change_rule(cx, name, bus, |record| {
            record.state = state;
            schedule::arm(record, cx.now);
            Ok(())
        })
        .await
    }

    pub(super) fn describe_rule_of(
        &self,
        cx: &Context,
        name: &str,
        bus: Option<&str>,
    ) -> Result<api::DescribeRuleResponse> {
        let key = self.key(cx, bus)?;
        let bus = self.bus_of_rule(&key, name)?;
        let record = bus.rule(name)?.record.clone();
        Ok(api::DescribeRuleResponse {
            arn: Some(record.arn()),
            name: Some(record.name),
            event_pattern: record.pattern,
            schedule_expression: record.schedule,
            state: Some(record.state.as_str().to_owned()),
            description: record.description,
            role_arn: record.role,
            managed_by: None,
            event_bus_name: Some(record.bus.name),
            created_by: Some(record.created_by),
        })
    }

    pub(super) fn list_rules_of(
        &self,
        cx: &Context,
        input: &api::ListRulesRequest,
    ) -> Result<api::ListRulesResponse> {
        let rules = self.rules_of(cx, input.event_bus_name.as_deref())?;
        let prefix = input.name_prefix.as_deref();
        let rules = rules.into_iter();
        let (listed, next_token) = page(
            rules.filter(|rule| begins(&rule.record.name, prefix)),
            |rule| rule.record.name.as_str(),
            input.limit,
            input.next_token.as_deref(),
        )?;
        let shown = listed.iter().map(|rule| shown(&rule.record));
        Ok(api::ListRulesResponse {
            rules: Some(shown.collect()),
            next_token,
        })
    }

    pub(super) fn list_rules_by_target(
        &self,
        cx: &Context,
        input: &api::ListRuleNamesByTargetRequest,
    ) -> Result<api::ListRuleNamesByTargetResponse> {
        let rules = self.rules_of(cx, input.event_bus_name.as_deref())?;
        let sends = |rule: &Arc<Rule>| {
            let mut targets = rule.record.targets.iter();
            targets.any(|target| target.arn == input.target_arn)
        };
        let (listed, next_token) = page(
            rules.into_iter().filter(sends),
            |rule| rule.record.name.as_str(),
            input.limit,
            input.next_token.as_deref(),
        )?;
        let names = listed.iter().map(|rule| rule.record.name.clone());
        Ok(api::ListRuleNamesByTargetResponse {
            rule_names: Some(names.collect()),
            next_token,
        })
    }

    /// In the order of their names.
    fn rules_of(&self, cx: &Context, bus: Option<&str>) -> Result<Vec<Arc<Rule>>> {
        let key = self.key(cx, bus)?;
        match self.0.buses.get(&key) {
            Some(bus) => Ok(bus.rules.values().cloned().collect()),
            None if key.name == DEFAULT => Ok(Vec::new()),
            None => Err(Error::NoBus(key.name)),
        }
    }

    /// Changes a rule that is there.
    pub(super) async fn change_rule(
        &self,
        cx: &Context,
        name: &str,
        bus: Option<&str>,
        change: impl FnOnce(&mut RuleRecord) -> Result<()>,
    ) -> Result<()> {
        let key = self.key(cx, bus)?;
        let changing = self.0.changing.lock().await;
        let bus = self.bus_of_rule(&key, name)?;
        let mut record = bus.rule(name)?.record.clone();
        change(&mut record)?;
        self.store_rule(&changing, &bus, Rule::new(record)?).await
    }

    pub(super) async fn store_rule(
        &self,
        _: &Changing<'_>,
        bus: &Arc<Bus>,
        rule: Rule,
    ) -> Result<()> {
        let record = rule.record.clone();
        let put = move |tx: &mut store::Tx| RULES.put(tx, &record.parts(), &record);
        self.0.store.write(put).await?;
        let is_scheduled = rule.record.next_fire_ms.is_some();
        let key: BusKey = bus.record.key.clone();
        self.0.buses.put(key, bus.with_rule(rule));
        if is_scheduled {
            self.0.schedules_wake.wake();
        }
        Ok(())
    }
}

fn shown(record: &RuleRecord) -> api::Rule {
    api::Rule {
        name: Some(record.name.clone()),
        arn: Some(record.arn()),
        event_pattern: record.pattern.clone(),
        state: Some(record.state.as_str().to_owned()),
        description: record.description.clone(),
        schedule_expression: record.schedule.clone(),
        role_arn: record.role.clone(),
        managed_by: None,
        event_bus_name: Some(record.bus.name.clone()),
    }
}
