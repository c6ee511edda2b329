//! What the wire promises, one file a subject, in one binary.

mod cbor;
mod cbor_vectors;
mod event_stream;
mod forms;
mod lambda_api;
mod large_bodies;
mod malformed;
mod round_trip;
mod sigv4;
mod sqs_api;
mod support;
mod url_events;
mod vectors;
mod xml;
