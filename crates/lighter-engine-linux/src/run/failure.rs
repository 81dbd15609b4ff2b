//! A process that did not start, in the words from which Docker's clients make their exit codes.

use lighter_domain::{Error, ErrorKind};
use lighter_engine::StartFailure;
use lighter_supervisor_proto::{Failure, Stage};
use nix::libc::{EACCES, EISDIR, ENOENT, ENOEXEC, ENOTDIR, EPERM};

/// The container's own process.
pub(crate) fn of_start(failure: &Failure) -> StartFailure {
    if failure.stage == Stage::Log {
        let message = format!("failed to create task for container: {}", failure.message);
        return Error::internal(message).into();
    }
    worded("failed to create task for container: OCI runtime create failed", failure)
}

/// One more process.
pub(crate) fn of_exec(failure: &Failure) -> StartFailure {
    worded("OCI runtime exec failed", failure)
}

fn worded(front: &str, failure: &Failure) -> StartFailure {
    let what = match failure.stage {
        Stage::Log | Stage::Setup => "unable to prepare container process",
        Stage::WorkingDir | Stage::User | Stage::Lookup | Stage::Exec => "unable to start container process",
    };
    let mut message = format!("{front}: {what}: {}", failure.message);
    let exit_code = exit_code(failure);
    let kind = if exit_code == 128 { ErrorKind::Internal } else { ErrorKind::InvalidArgument };
    if failure.stage == Stage::Setup && failure.errno == Some(ENOTDIR) {
        message.push_str(
            ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists \
             and is the expected type",
        );
    }
    StartFailure { exit_code, error: Error::new(kind, message) }
}

/// 127: not there; 126: there, but not to be executed; 128: anything else.
fn exit_code(failure: &Failure) -> i32 {
    match (failure.stage, failure.errno) {
        (Stage::Lookup | Stage::Exec | Stage::WorkingDir, Some(ENOENT | ENOTDIR)) => 127,
        (Stage::Lookup | Stage::Exec | Stage::WorkingDir, Some(EACCES | EPERM | EISDIR | ENOEXEC)) => 126,
        (Stage::Lookup, None) => 127,
        (Stage::Exec, None) => 126,
        (Stage::Setup, Some(ENOTDIR)) => 127,
        _ => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_find_their_exit_codes_in_the_words() {
        let of = |stage, errno, message: &str| of_start(&Failure { stage, errno, message: message.into() });
        let missing = of(Stage::Lookup, Some(ENOENT), "exec: \"nosuch\": executable file not found in $PATH");
        assert_eq!(missing.exit_code, 127);
        assert_eq!(
            missing.error.message(),
            "failed to create task for container: OCI runtime create failed: unable to start container process: \
             exec: \"nosuch\": executable file not found in $PATH"
        );
        assert_eq!(missing.error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(of(Stage::Lookup, Some(EISDIR), "").exit_code, 126);
        assert_eq!(of(Stage::Exec, Some(ENOEXEC), "").exit_code, 126);
        let setup = of(Stage::Setup, Some(EPERM), "mount");
        assert_eq!((setup.exit_code, setup.error.kind()), (128, ErrorKind::Internal));
    }
}
