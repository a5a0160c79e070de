//! The state of one loop, and which loop runs on this thread.
//!
//! `Runtime` owns a `Loop` and drives it (`turn.rs`); tasks, sleeps and sockets reach it. It never leaves its thread. A
//! thread-local says which loop is entered at the moment; there is no global. Every cell in here is borrowed for a few
//! lines that call nobody: wakers are woken and dropped, and futures polled, with nothing borrowed.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use rondeau_core::{Agenda, Clock, Pace, Time, Timers};
use rondeau_driver::{Choice, Driver, Events};

use crate::blocking::Pool;
use crate::fs::operation::Operations;
use crate::mailbox::{Mail, Mailbox};
use crate::net::table::Table;
use crate::panics::First;
use crate::report::Reporter;
use crate::task::header::TaskRef;
use crate::task::list::TaskList;
use crate::task::state::CLOSED;

pub(crate) struct Loop {
    pub(crate) agenda: RefCell<Agenda<TaskRef>>,
    pub(crate) tasks: TaskList,
    pub(crate) timers: RefCell<Timers<Waker>>,
    pub(crate) clock: RefCell<Clock>,
    /// The time up to which timers have fired.
    pub(crate) fired: Cell<Time>,
    pub(crate) pace: RefCell<Pace>,
    pub(crate) driver: RefCell<Driver>,
    pub(crate) events: RefCell<Events>,
    pub(crate) sockets: RefCell<Table>,
    /// Operations on files that are under way.
    pub(crate) operations: Operations,
    /// Some of them were not given to the kernel yet.
    pub(crate) begun: Cell<bool>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Room for the mail of one collection.
    pub(crate) letters: Cell<Vec<Mail>>,
    pub(crate) pool: Pool,
    pub(crate) closing: Cell<bool>,
    /// Its tasks were cut loose: what is spawned from here on is too.
    pub(crate) closed: Cell<bool>,
    pub(crate) reporter: Reporter,
}

thread_local! {
    /// The loop that is entered on this thread, or null. Const and without a destructor: reading it is one load.
    static CURRENT: Cell<*const Loop> = const { Cell::new(std::ptr::null()) };
}

/// The loop that is entered on this thread, or null. For comparing.
#[inline]
pub(crate) fn current_ptr() -> *const Loop {
    CURRENT.get()
}

/// Calls `f` with the loop that is entered on this thread.
///
/// # Panics
/// When there is none.
#[inline]
#[track_caller]
pub(crate) fn with_current<R>(f: impl FnOnce(&Loop) -> R) -> R {
    let current = CURRENT.get();
    if current.is_null() {
        no_loop();
    }
    // SAFETY: `Entered` set the pointer from an `Rc` that its creator borrows for as long as it is set, and `f` cannot
    // end that borrow, which lies further up this thread's stack.
    f(unsafe { &*current })
}

/// The loop that is entered on this thread, to keep.
#[track_caller]
pub(crate) fn current() -> Rc<Loop> {
    let current = CURRENT.get();
    if current.is_null() {
        no_loop();
    }
    // SAFETY: the pointer comes from `Rc::as_ptr`, and that `Rc` is alive (see `with_current`).
    unsafe {
        Rc::increment_strong_count(current);
        Rc::from_raw(current)
    }
}

#[cold]
#[track_caller]
fn no_loop() -> ! {
    panic!("no loop runs on this thread: call this from within rondeau::run")
}

/// Marks a loop as entered, until it is dropped.
pub(crate) struct Entered<'a> {
    owner: &'a Rc<Loop>,
    before: *const Loop,
}

impl<'a> Entered<'a> {
    /// # Panics
    /// When this thread is inside a loop already.
    #[track_caller]
    pub(crate) fn enter(owner: &'a Rc<Loop>) -> Self {
        assert!(
            CURRENT.get().is_null(),
            "a loop is already running on this thread: `await` the future instead of running it in a loop of its own"
        );
        Self::enter_instead(owner)
    }

    /// Enters whatever is entered already; that one waits. Only to end a runtime that is dropped by a task of another:
    /// its destructors must find their own loop. (The other's wakers count as away from home meanwhile, which is safe.)
    pub(crate) fn enter_instead(owner: &'a Rc<Loop>) -> Self {
        Entered {
            owner,
            before: CURRENT.replace(Rc::as_ptr(owner)),
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        debug_assert!(std::ptr::eq(CURRENT.get(), Rc::as_ptr(self.owner)));
        CURRENT.set(self.before);
    }
}

impl Loop {
    pub(crate) fn new(
        choice: Choice,
        clock: Clock,
        threads: usize,
        reporter: Reporter,
    ) -> io::Result<Rc<Self>> {
        let driver = Driver::new(choice)?;
        let mailbox = Arc::new(Mailbox::new(driver.waker()));
        let nudge = clock.is_virtual().then(|| driver.waker());
        Ok(Rc::new(Loop {
            agenda: RefCell::new(Agenda::new()),
            tasks: TaskList::default(),
            timers: RefCell::new(Timers::new()),
            fired: Cell::new(Time::from_nanos(0)),
            clock: RefCell::new(clock),
            pace: RefCell::new(Pace::new()),
            driver: RefCell::new(driver),
            events: RefCell::new(Events::new()),
            sockets: RefCell::new(Table::default()),
            operations: Operations::default(),
            begun: Cell::new(false),
            mailbox,
            letters: Cell::default(),
            pool: Pool::new(threads, nudge),
            closing: Cell::new(false),
            closed: Cell::new(false),
            reporter,
        }))
    }

    /// Puts a task in the agenda; its state says `SCHEDULED`.
    #[inline]
    pub(crate) fn schedule(&self, task: TaskRef) {
        self.agenda.borrow_mut().push(task);
    }

    /// Whether what belongs to this loop may wait here. On another loop, or after this one's end, nobody would wake it.
    /// (Outside of any loop it may: this one can run later.)
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        std::ptr::eq(current_ptr(), self)
    }

    /// Where it is not: the error that says so.
    #[cold]
    pub(crate) fn elsewhere(&self, what: &str) -> io::Result<()> {
        let why = if self.is_here() {
            return Ok(());
        } else if self.closing.get() {
            "which has ended"
        } else if current_ptr().is_null() {
            return Ok(());
        } else {
            "which does not run now"
        };
        Err(io::Error::other(format!(
            "{what} belongs to another loop, {why}: nothing would wake whoever waits for it here"
        )))
    }

    /// The same as a panic, for what gives no error.
    #[cold]
    pub(crate) fn must_be_here(&self, what: &str) {
        if let Err(elsewhere) = self.elsewhere(what) {
            panic!("{elsewhere}");
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Time {
        self.clock.borrow().now()
    }

    /// Ends the loop: every future is dropped (and what a destructor spawns is dropped at once), timers and sockets
    /// are forgotten, started blocking work is waited for, and what other threads still hold is cut loose. The loop is
    /// entered, so that destructors find it. A second call does nothing.
    ///
    /// It comes to its end whoever panics on the way: each call of other people's code is caught by itself, and the
    /// first panic goes on afterwards.
    pub(crate) fn close(&self) {
        if self.closing.replace(true) {
            return;
        }
        let mut foreign = First::default();
        // Before a destructor lets started work come to its end, which would let the next one start.
        for work in self.pool.close() {
            foreign.call(|| drop(work));
        }
        // Each is held, since a destructor may free others. What destructors spawn from here on is closed at birth.
        for task in self.tasks.hold_all() {
            // SAFETY: held, at home. An open task is not running: nothing runs while the loop ends.
            unsafe {
                if task.header().state.get() & CLOSED == 0 {
                    foreign.call(|| task.close(self));
                }
                task.drop_at_home();
            }
        }
        self.agenda.borrow_mut().drain().for_each(drop); // pointers only: they count nothing
        loop {
            // Dropped outside the borrow: a waker's destructor may do anything.
            let mut wakers: Vec<Waker> = self.timers.borrow_mut().drain().collect();
            self.operations.borrow_mut().give_back(&mut wakers);
            let sockets = std::mem::take(&mut *self.sockets.borrow_mut());
            sockets.give_back(&mut wakers);
            if wakers.is_empty() {
                break;
            }
            for waker in wakers {
                foreign.call(|| drop(waker));
            }
        }
        self.pool.wait();
        // Nothing foreign runs from here to the end.
        self.closed.set(true);
        while let Some(task) = self.tasks.first() {
            // SAFETY: in the list, so alive with at least one reference; closed above.
            unsafe {
                self.tasks.unlink(task);
                task.orphan(self);
            }
        }
        self.mailbox.close();
        foreign.resume();
    }
}
