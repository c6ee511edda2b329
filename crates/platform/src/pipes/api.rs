//! The service as its clients see it.

use wire::pipes::Pipes as Api;

use super::Pipes;

impl Api for Pipes {}
