//! CheckpointDurableExecution and GetDurableExecutionState: what an invocation of the function asks
//! of its own execution.

use std::sync::Arc;

use wire::{
    Context,
    lambda::{
        CheckpointDurableExecutionRequest, CheckpointDurableExecutionResponse,
        CheckpointUpdatedExecutionState, GetDurableExecutionStateRequest,
        GetDurableExecutionStateResponse, OperationUpdate,
    },
};

use super::{
    Inner, chained,
    core::{Action, Head, Kind, Operation, State, Update},
    error::{Error, Result},
    lane::{Guard, Lane, LastCheckpoint},
    limits, token,
    token::CheckpointToken,
    view,
};

impl Inner {
    pub(super) async fn checkpoint(
        self: &Arc<Self>,
        cx: &Context,
        input: CheckpointDurableExecutionRequest,
    ) -> Result<CheckpointDurableExecutionResponse> {
        let lane = self.lane_of(cx, &input.durable_execution_arn)?;
        let mut held = self.lock_own(&lane, &input.durable_execution_arn).await?;
        if let Some(again) = repeated(&held, &input) {
            return Ok(again);
        }
        check_token(&held, &input.checkpoint_token)?;
        let updates = input.updates.unwrap_or_default();
        let (updates, children) = self.updates(cx, &held.state.head, updates)?;
        let now_ms = self.clock.now_ms();
        // What came before comes first.
        held.state.pass_time(now_ms);
        if held.state.head.is_closed() {
            self.commit(&lane, &mut held, Vec::new()).await?;
            return Err(Error::Token);
        }
        if held.state.has_changes() {
            self.commit(&lane, &mut held, Vec::new()).await?;
        }
        let started = held.state.checkpoint(updates, now_ms)?;
        let children = chained::with_inputs(children, &started);
        let begun: Vec<String> = children.iter().map(|it| it.head.id.clone()).collect();
        let is_closed = held.state.head.is_closed();
        // Without a session it was not let in.
        let seen = held.session.as_ref().map_or(0, |session| session.seen);
        let arn_of = held.state.head.id.clone();
        let operations: Vec<_> = held
            .state
            .touched_since(seen)
            .map(|operation| view::operation(&arn_of, operation))
            .collect();
        if held.state.has_changes() || !children.is_empty() {
            self.commit(&lane, &mut held, children).await?;
        }
        let touches = held.state.touches();
        let Some(session) = &mut held.session else {
            return Err(Error::Token);
        };
        session.seen = touches;
        session.token.sequence += 1;
        let answer = CheckpointDurableExecutionResponse {
            checkpoint_token: (!is_closed).then(|| session.token.text()),
            new_execution_state: CheckpointUpdatedExecutionState {
                operations: Some(operations),
                next_marker: None,
            },
        };
        session.last = input.client_token.map(|client_token| LastCheckpoint {
            client_token,
            token: input.checkpoint_token,
            answer: answer.clone(),
        });
        held.state.forget_payloads(touches);
        drop(held);
        for id in begun {
            self.tick(&self.lanes.get(&id)).await?;
        }
        Ok(answer)
    }

    pub(super) async fn state(
        self: &Arc<Self>,
        cx: &Context,
        input: GetDurableExecutionStateRequest,
    ) -> Result<GetDurableExecutionStateResponse> {
        let lane = self.lane_of(cx, &input.durable_execution_arn)?;
        let held = self.lock_own(&lane, &input.durable_execution_arn).await?;
        check_token(&held, &input.checkpoint_token)?;
        let from = match input.marker.as_deref() {
            None | Some("") => 0,
            Some(marker) => marker
                .parse()
                .map_err(|_| Error::Invalid("Invalid marker".into()))?,
        };
        let page = self
            .state_page(&lane.id, from, page_items(input.max_items))
            .await?;
        let id = &held.state.head.id;
        let shown = |operation: &Operation| view::operation(id, operation);
        Ok(GetDurableExecutionStateResponse {
            operations: page.operations.iter().map(shown).collect(),
            next_marker: page.next.map(|next| next.to_string()),
        })
    }

    /// Operations as they are stored, from a position on, as many as fit in a page.
    pub(super) async fn state_page(
        &self,
        id: &str,
        from: u32,
        items_max: usize,
    ) -> Result<StatePage> {
        let mut page = StatePage::default();
        let (mut bytes, mut next) = (0, from);
        loop {
            let (wanted, tables) = (id.to_owned(), self.tables.clone());
            let read = self
                .store
                .read(move |tx| tables.operations(tx, &wanted, next));
            let read = read.await?;
            let are_all = read.len() < limits::LOAD_ROWS as usize;
            for operation in read {
                bytes += operation.bytes();
                let is_full =
                    bytes > limits::STATE_PAGE_BYTES || page.operations.len() >= items_max;
                if is_full && !page.operations.is_empty() {
                    page.next = Some(next);
                    return Ok(page);
                }
                page.operations.push(operation);
                next += 1;
            }
            if are_all {
                return Ok(page);
            }
        }
    }

    /// The lane of the execution that an ARN names, in the caller's account and region.
    pub(super) fn lane_of(&self, cx: &Context, arn: &str) -> Result<Arc<Lane>> {
        let found = token::of_arn(arn);
        let found =
            found.filter(|(of, _)| of.account_id == cx.account_id && of.region == cx.region);
        let (_, id) = found.ok_or_else(|| Error::no_execution(arn))?;
        Ok(self.lanes.get(&id))
    }

    /// Locks the execution that an ARN names, which has to be right in all its parts.
    pub(super) async fn lock_named<'a>(&self, lane: &'a Lane, arn: &str) -> Result<Guard<'a>> {
        let held = self.lock(lane).await?;
        let held = held.filter(|held| token::arn(&held.state.head) == arn);
        held.ok_or_else(|| Error::no_execution(arn))
    }

    /// The same for an invocation, which knows no such execution by having no good token for it.
    async fn lock_own<'a>(&self, lane: &'a Lane, arn: &str) -> Result<Guard<'a>> {
        match self.lock_named(lane, arn).await {
            Err(Error::NotFound(_)) => Err(Error::Token),
            held => held,
        }
    }

    /// What a request updates, and the executions that begin with it.
    fn updates(
        &self,
        cx: &Context,
        head: &Head,
        asked: Vec<OperationUpdate>,
    ) -> Result<(Vec<Update>, Vec<State>)> {
        let mut children = Vec::new();
        let mut updates = Vec::with_capacity(asked.len());
        for update in asked {
            let options = update.chained_invoke_options.as_ref();
            if options.is_some_and(|options| options.tenant_id.is_some()) {
                let what = "Tenant isolation (TenantId) is not supported by this platform yet";
                return Err(Error::Invalid(what.into()));
            }
            let target = match options {
                None => None,
                Some(options) => Some(match self.resolve(cx, head, &options.function_name)? {
                    Err(error) => Err(error),
                    Ok(found) => match found.durable {
                        None => Ok(found.target),
                        Some(durable) => {
                            let child = self.child(head, &update.id, durable)?;
                            let target = chained::of_child(found.target, &child);
                            children.push(child);
                            Ok(target)
                        }
                    },
                }),
            };
            updates.push(Update {
                target,
                ..read(update)?
            });
        }
        Ok((updates, children))
    }
}

/// Operations that stand one after the other.
#[derive(Debug, Default)]
pub struct StatePage {
    pub operations: Vec<Operation>,
    /// The position of the next one, if there are more.
    pub next: Option<u32>,
}

/// How many items of a list are asked for; none and 0 leave it to us.
pub fn page_items(asked: Option<i32>) -> usize {
    match usize::try_from(asked.unwrap_or(0)) {
        Ok(0) | Err(_) => limits::PAGE_DEFAULT,
        Ok(asked) => asked.min(limits::PAGE_MAX),
    }
}

/// The answer to a request that has been answered once.
fn repeated(
    held: &Guard<'_>,
    input: &CheckpointDurableExecutionRequest,
) -> Option<CheckpointDurableExecutionResponse> {
    let last = held.session.as_ref()?.last.as_ref()?;
    let same = Some(&last.client_token) == input.client_token.as_ref()
        && last.token == input.checkpoint_token;
    same.then(|| last.answer.clone())
}

fn check_token(held: &Guard<'_>, token: &str) -> Result<()> {
    let current = held.session.as_ref().map(|session| &session.token);
    let given = CheckpointToken::parse(token);
    match given.is_some() && given.as_ref() == current && !held.state.head.is_closed() {
        true => Ok(()),
        false => Err(Error::Token),
    }
}

fn read(update: OperationUpdate) -> Result<Update> {
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == update.type_);
    let action = match &*update.action {
        "START" => Some(Action::Start),
        "SUCCEED" => Some(Action::Succeed),
        "FAIL" => Some(Action::Fail),
        "RETRY" => Some(Action::Retry),
        "CANCEL" => Some(Action::Cancel),
        _ => None,
    };
    // The model knows no others.
    let (Some(kind), Some(action)) = (kind, action) else {
        return Err(Error::Invalid(
            "Invalid action for the given operation type.".into(),
        ));
    };
    let seconds = |s: Option<i32>| s.and_then(|s| u32::try_from(s).ok());
    let wait = update
        .wait_options
        .map(|wait| seconds(wait.wait_seconds).unwrap_or(1));
    let callback = update.callback_options.unwrap_or_default();
    let step = update.step_options.unwrap_or_default();
    let context = update.context_options.unwrap_or_default();
    Ok(Update {
        id: update.id,
        parent_id: update.parent_id,
        name: update.name,
        kind,
        sub_type: update.sub_type,
        action,
        payload: update.payload,
        error: update.error.map(view::read_error),
        replay_children: context.replay_children == Some(true),
        next_attempt_s: seconds(step.next_attempt_delay_seconds),
        wait_s: wait,
        callback: (
            seconds(callback.timeout_seconds).unwrap_or(0),
            seconds(callback.heartbeat_timeout_seconds).unwrap_or(0),
        ),
        target: None,
    })
}
