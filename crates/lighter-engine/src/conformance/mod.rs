//! One suite for all engines: what the layers above rely on, written down as tests.
//!
//! An engine's crate turns it into named tests in its `tests/` directory:
//!
//! ```ignore
//! async fn setup() -> lighter_engine::conformance::Fixture { ... }
//! lighter_engine::conformance_tests!(setup);
//! ```
//!
//! The programs that it runs are busybox's, in scripts that are plain lists of commands, so that an engine without real
//! processes can follow them. A capability that the engine does not offer leaves its tests out, and says so. Each test gets
//! an engine of its own and removes what it made; afterwards [`Fixture::leftovers`] must find nothing.

pub mod exec;
pub mod images;
pub mod lifecycle;
pub mod logs;
pub mod networks;
pub mod observe;
pub mod pause;
pub mod robustness;
pub mod streams;
mod support;

use crate::Engine;
use lighter_domain::{Container, ContainerConfig, ContainerId, ContainerState, HostConfig, Signal};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use time::OffsetDateTime;

/// The longest that one test may take.
const LIMIT: Duration = Duration::from_secs(90);

/// An engine to be tested, and what the suite must know of it.
pub struct Fixture {
    pub engine: Arc<dyn Engine>,
    /// A reference of an image with busybox's commands (`busybox:latest`), and its id (`sha256:...`).
    pub image: String,
    pub image_id: String,
    /// `HostConfig.NetworkMode` of the containers.
    pub network_mode: String,
    /// What is left on the machine of a removed container (processes, mounts, cgroups, files), in words; empty is right.
    pub leftovers: Leftovers,
    /// Dropped after the test: temporary directories and the like.
    pub keep: Box<dyn Any + Send + Sync>,
    /// The containers that the test made. Begin with `Made::default()`.
    pub made: Made,
}

/// Looks for what is left of a container.
pub type Leftovers = Box<dyn Fn(&ContainerId) -> Vec<String> + Send + Sync>;

/// The containers of one test, for cleaning up.
#[derive(Default)]
pub struct Made(Mutex<Vec<Container>>);

impl Fixture {
    /// A container of the image that runs `argv`; nothing is asked of the engine yet.
    pub fn container(&self, argv: &[&str]) -> Container {
        self.container_with(argv, |_| {})
    }

    /// The same, with changes.
    pub fn container_with(&self, argv: &[&str], change: impl FnOnce(&mut Container)) -> Container {
        let now = OffsetDateTime::now_utc();
        let (path, args) = argv.split_first().expect("a program");
        let id = ContainerId::generate();
        let mut container = Container {
            uuid: uuid_of(&id),
            name: format!("conformance-{}", id.short()),
            created_at: now,
            updated_at: now,
            image_id: self.image_id.clone(),
            path: (*path).to_owned(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            config: ContainerConfig {
                hostname: id.short().to_owned(),
                env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
                cmd: Some(argv.iter().map(|a| (*a).to_owned()).collect()),
                image: self.image.clone(),
                ..ContainerConfig::default()
            },
            id,
            host_config: HostConfig { network_mode: self.network_mode.clone(), shm_size: 64 << 20, ..HostConfig::default() },
            endpoints: BTreeMap::new(),
            networks: BTreeMap::new(),
            ports: BTreeMap::new(),
            mounts: Vec::new(),
            state: ContainerState::Created,
            started_at: None,
            exit: None,
            health: None,
            error: String::new(),
            restart_count: 0,
            manually_stopped: false,
            platform: "linux".to_owned(),
            api_version: "1.51".to_owned(),
            unsupported_flags: Vec::new(),
        };
        change(&mut container);
        self.made.0.lock().expect("no test panicked while it held this").push(container.clone());
        container
    }

    async fn finish(&self) -> Vec<String> {
        let made = std::mem::take(&mut *self.made.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for container in &made {
            // Most have ended and many are gone: only the result counts, and that is looked at below.
            let _ = self.engine.signal(&container.id, Signal::KILL).await;
            if self.is_running(&container.id).await {
                let _ = self.engine.wait(&container.id).await;
            }
            let _ = self.engine.cleanup(&container.id).await;
            if let Err(e) = self.engine.remove(&container.id).await {
                return vec![format!("{:?} could not be removed: {e}", container.id)];
            }
        }
        let mut left = Vec::new();
        for container in &made {
            let gone = support::within(Duration::from_secs(10), || (self.leftovers)(&container.id).is_empty()).await;
            if !gone {
                left.extend((self.leftovers)(&container.id));
            }
        }
        left
    }
}

fn uuid_of(id: &ContainerId) -> uuid::Uuid {
    let head = id.as_str().get(..32).expect("64 digits");
    uuid::Uuid::from_u128(u128::from_str_radix(head, 16).expect("hex digits"))
}

/// Runs one test of the suite; the macro's tests call it.
pub fn run<S, T, F>(setup: impl FnOnce() -> S, test: T)
where
    S: Future<Output = Fixture>,
    T: FnOnce(Arc<Fixture>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let fixture = Arc::new(setup().await);
        let outcome = tokio::time::timeout(LIMIT, tokio::spawn(test(Arc::clone(&fixture)))).await;
        let left = tokio::time::timeout(LIMIT, fixture.finish()).await;
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(failed)) => std::panic::resume_unwind(failed.into_panic()),
            Err(_) => panic!("the test did not end within {LIMIT:?}"),
        }
        let left = left.expect("cleaning up ends");
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    });
}

/// As [`conformance_tests!`], for engines whose users can make networks.
#[macro_export]
macro_rules! network_conformance_tests {
    ($setup:ident) => {
        $crate::conformance_tests! { @expand $setup
            networks: the_built_in_ones_are_there, a_network_gets_a_pool_and_goes, pools_do_not_overlap,
                unknown_drivers_are_refused, a_container_on_a_network_of_its_own, addresses_that_are_asked_for,
                several_networks_and_changes_while_it_runs, six_and_four, taken_ports_are_told_beforehand;
        }
    };
}

/// Makes one `#[test]` of each test of the suite, in modules named as its files. `$setup` is the name of an
/// `async fn() -> Fixture` in the module that calls this.
#[macro_export]
macro_rules! conformance_tests {
    ($setup:ident) => {
        $crate::conformance_tests! { @expand $setup
            lifecycle: describes_itself, reviews_a_plain_container_without_complaint, create_is_idempotent, exit_codes,
                a_missing_program_is_127, a_missing_path_is_127, a_program_that_is_not_executable_is_126,
                a_failed_start_can_be_tried_again, kill_gives_137, a_caught_signal_is_the_programs_affair,
                signals_to_what_does_not_run_are_refused, wait_before_and_after_the_end_and_twice, wait_for_nothing_is_an_error,
                starts_again_after_its_end, the_second_run_has_an_end_of_its_own, remove_of_the_unknown_succeeds,
                remove_frees_everything, list_tells_what_is_there, reconcile_removes_what_nobody_knows, twenty_at_once;
            streams: attach_before_start_sees_everything, only_the_streams_asked_for, no_output_is_an_empty_stream,
                input_is_read_to_its_end, a_megabyte_through_cat, closed_input_ends_at_once,
                input_outlives_a_client_unless_once, a_terminal_is_raw, a_terminal_can_be_resized, two_clients_see_the_same,
                a_client_that_vanishes_is_not_missed, a_failed_start_ends_the_clients, a_restart_serves_new_clients;
            logs: both_streams_are_kept, all_is_kept_when_wait_answers, tail, the_extent_tells_whether_something_was_printed,
                timestamps_and_details, since_and_until,
                one_stream_alone, follow_ends_with_the_container, runs_follow_each_other, a_terminal_is_kept_raw,
                an_unfinished_line_is_kept, a_reader_may_leave;
            exec: output_and_exit_code, exit_codes_of_execs, a_missing_program_in_exec_is_127,
                a_program_in_exec_that_is_not_executable_is_126, input_of_an_exec, an_exec_without_streams,
                an_exec_on_a_terminal, execs_end_with_the_container, an_exec_needs_a_running_container,
                resize_of_an_unknown_exec_is_refused, a_client_may_leave_an_exec, a_signal_ends_an_exec_and_nothing_else, twenty_execs_at_once;
            observe: processes_are_listed, what_is_used_is_sampled, limits_are_changed_while_it_runs;
            pause: a_paused_container_is_listed_so, a_paused_program_goes_on_afterwards, a_killed_paused_container_ends;
            images: found_by_all_its_names, unknown_images_are_refused, tags_come_and_go, used_images_stay,
                a_loaded_image_can_be_used_and_removed, a_cut_off_archive_leaves_nothing, prune_takes_what_nobody_uses,
                platforms_are_told_and_minded, collection_takes_what_nobody_uses_in_order;
            robustness: a_dropped_create, a_dropped_start, a_dropped_wait, a_dropped_remove, a_dropped_exec, a_dropped_log_reader;
        }
    };
    (@expand $setup:ident $($module:ident: $($test:ident),+;)+) => {
        $(mod $module {
            $(#[test]
            fn $test() {
                $crate::conformance::run(super::$setup, $crate::conformance::$module::$test);
            })+
        })+
    };
}
