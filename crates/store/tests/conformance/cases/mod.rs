pub mod ownership;
pub mod records;
pub mod schema;
pub mod statements;
pub mod transactions;
