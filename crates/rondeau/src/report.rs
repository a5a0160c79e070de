//! The one reporter: where a panic goes that nobody can await any more. The loop calls it (a detached task, a
//! destructor that panics), and a handle's destructor that finds an outcome nobody took.

use std::io::Write;
use std::rc::Rc;

use crate::panics::Quiet;
use crate::task::JoinError;

/// What a reporter is given: a task panicked, and nobody awaits it. Shared, since whoever calls it holds it: it may drop
/// the runtime that it belongs to.
pub(crate) type Reporter = Rc<dyn Fn(&JoinError)>;

/// Tells a reporter, and drops the error, whose payload may panic in its destructor.
#[cold]
pub(crate) fn report(reporter: &Reporter, error: JoinError) {
    let error = Quiet::new(error);
    reporter(&error);
}

/// The default reporter. One write, so that lines of several threads do not mix; a closed stderr is no reason to fail.
pub(crate) fn report_to_stderr(error: &JoinError) {
    let line = format!("rondeau: a task failed and nobody awaits it: {error}\n");
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
