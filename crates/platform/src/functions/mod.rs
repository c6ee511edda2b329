//! AWS Lambda: functions, their definitions and their execution.

pub mod execution;
