//! The service as its clients see it.

use wire::sns::SNS;

use super::Topics;

impl SNS for Topics {}
