//! What a loop holds while its time is virtual. `event_loop/simulated.rs` uses it.

use pyo3_ffi as ffi;
use rondeau_core::{Schedule, Tape, Time};

/// One simulation.
pub struct Simulation {
    /// Who is asked when nothing is ready; NULL for nobody. Strong.
    pub director: *mut ffi::PyObject,
    /// What was decided.
    pub tape: Tape,
    /// Which of the ready comes next.
    pub schedule: Schedule,
    /// The time goes no further by itself.
    pub limit: Option<Time>,
    /// Nothing comes from the machine while something is ready.
    pub is_closed_world: bool,
    /// The director is told of each step.
    pub tells_steps: bool,
    /// The director is told of this one in any case.
    pub most_steps: u64,
    /// Turns with something ready.
    pub turns: u32,
    /// Items that ran.
    pub steps: u64,
}
