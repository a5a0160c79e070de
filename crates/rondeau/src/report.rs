//! The one reporter: where a panic goes that nobody can await any more. The loop calls it (a detached task, a
//! destructor that panics), and a handle's destructor that finds an outcome nobody took.

use std::io::Write;

use crate::task::JoinError;

/// What a reporter is given: a task panicked, and nobody awaits it.
pub(crate) type Reporter = Box<dyn Fn(&JoinError)>;

/// The default reporter. One write, so that lines of several threads do not mix; a closed stderr is no reason to fail.
pub(crate) fn report_to_stderr(error: &JoinError) {
    let line = format!("rondeau: a task failed and nobody awaits it: {error}\n");
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
