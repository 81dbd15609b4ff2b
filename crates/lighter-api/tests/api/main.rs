//! The API over a real socket: the memory engine below, a real store beside, raw HTTP above.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod bad_input;
mod fields;
mod lighter;
mod negotiation;
mod network_settings;
mod networks;
mod openapi;
mod policy;
mod readme;
mod recording;
mod shapes;
mod streams;
mod support;
mod tricks;
mod vanishing;
