//! The domain: what AWS's services do, on our store and in our sandboxes. One folder per service.

pub mod functions;
