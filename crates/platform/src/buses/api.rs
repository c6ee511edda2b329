//! The service as its clients see it.

use wire::event_bridge::EventBridge;

use super::Buses;

impl EventBridge for Buses {}
