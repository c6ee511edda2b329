//! PutFunctionRecursionConfig and GetFunctionRecursionConfig, and what stops a loop.

use wire::{
    Context,
    lambda::{
        FunctionName, GetFunctionRecursionConfigResponse, PutFunctionRecursionConfigResponse,
    },
};

use super::{
    Functions, arn_of,
    error::{Error, Result},
    execution::FunctionKey,
    key_of,
    lineage::{self, RUNS_MAX},
};

const ALLOW: &str = "Allow";

impl Functions {
    pub(super) async fn put_recursion(
        &self,
        cx: &Context,
        name: &FunctionName,
        recursive_loop: &str,
    ) -> Result<PutFunctionRecursionConfigResponse> {
        let key = key_of(cx, &name.name);
        let set = self.change(&key, |record| {
            record.recursive_loop_allowed = recursive_loop == ALLOW;
            Ok(())
        });
        let (entry, ()) = set.await?;
        Ok(PutFunctionRecursionConfigResponse {
            recursive_loop: Some(word(entry.record.recursive_loop_allowed)),
        })
    }

    pub(super) fn recursion(
        &self,
        cx: &Context,
        name: &FunctionName,
    ) -> Result<GetFunctionRecursionConfigResponse> {
        let entry = self.find(&key_of(cx, &name.name))?;
        Ok(GetFunctionRecursionConfigResponse {
            recursive_loop: Some(word(entry.record.recursive_loop_allowed)),
        })
    }

    /// Whether a request with this trace header would go on with a loop through the function.
    pub fn is_recursive(&self, key: &FunctionKey, trace_header: Option<&str>) -> bool {
        // Nearly all requests come without one.
        if trace_header.is_none() {
            return false;
        }
        let mark = lineage::mark_of(&arn_of(key, None));
        let runs = lineage::runs_of(trace_header, &mark);
        let entry = self.0.definitions.get(key);
        runs >= RUNS_MAX && entry.is_some_and(|entry| !entry.record.recursive_loop_allowed)
    }

    /// The trace header that a run of the function goes on with.
    pub(super) fn traced(&self, key: &FunctionKey, trace_header: Option<&str>) -> Result<String> {
        match self.is_recursive(key, trace_header) {
            true => Err(Error::Recursive),
            false => Ok(lineage::with_run(
                trace_header,
                &lineage::mark_of(&arn_of(key, None)),
            )),
        }
    }
}

fn word(is_allowed: bool) -> String {
    let word = if is_allowed { ALLOW } else { "Terminate" };
    word.to_owned()
}
