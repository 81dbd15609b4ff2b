//! Crash tests: the daemon dies, the containers do not. Ours only: each test
//! starts a daemon of its own on fresh roots.

mod daemon;
mod full_disk;
mod health;
mod image_mounts;
mod log_index;
mod networks;
mod pipelines;
mod projects;
mod pull;
mod reboot;
mod survival;
mod wedged;
