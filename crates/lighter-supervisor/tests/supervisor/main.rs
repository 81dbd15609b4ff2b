//! The supervisor as the daemon starts it: a real container of busybox, the real descriptors, files and sockets.
//! Needs root; without it every test says so and passes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod basics;
mod exec;
mod failures;
mod init;
mod logs;
mod measure;
mod security;
mod streams;
mod support;
