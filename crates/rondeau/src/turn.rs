//! One turn of the loop: other threads' mail, the kernel, the timers that are due, then exactly the tasks that were
//! ready. What they wake runs in the next turn, so nothing starves.

use std::io::ErrorKind;
use std::time::Duration;

use rondeau_core::Park;

use crate::looper::Loop;
use crate::mailbox::Mail;

impl Loop {
    /// The caller has entered this loop.
    #[inline]
    pub(crate) fn turn(&self) {
        self.collect_mail();
        self.begin_operations();
        let ready = !self.agenda.borrow().is_empty();
        let next_due = if ready {
            None
        } else {
            self.timers.borrow_mut().next_due()
        };
        let park = self
            .pace
            .borrow_mut()
            .decide(ready, next_due, || self.now());
        match park {
            Park::Skip => {}
            Park::Poll => self.ask(Some(Duration::ZERO)),
            Park::Until(_) if self.clock.borrow().is_virtual() => self.skip_ahead(),
            Park::Until(pause) => self.wait(Some(pause)),
            Park::Forever => self.wait(None),
        }
        let batch = self.agenda.borrow().len();
        for _ in 0..batch {
            let Some(task) = self.agenda.borrow_mut().pop() else {
                break;
            };
            // SAFETY: this loop is entered, so this is home; what the agenda holds is scheduled and not closed.
            unsafe { task.run(self) };
        }
    }

    /// Parks the thread, unless mail came meanwhile.
    fn wait(&self, pause: Option<Duration>) {
        let pause = if self.mailbox.inbox().before_park() {
            pause
        } else {
            Some(Duration::ZERO)
        };
        self.ask(pause);
    }

    /// With a virtual clock: if neither a socket nor another thread has anything, moves on to the next timer. While
    /// blocking work or an operation on a file is under way the clock stands still, since nobody can say when it would have ended.
    fn skip_ahead(&self) {
        if self.pool.busy() || self.has_operations() {
            return self.wait(None);
        }
        self.ask(Some(Duration::ZERO));
        let idle = self.agenda.borrow().is_empty() && self.mailbox.inbox().is_empty();
        let next_due = self.timers.borrow_mut().next_due();
        if let (true, Some(due)) = (idle, next_due) {
            self.clock.borrow_mut().advance_to(due);
            self.fire_timers();
        }
    }

    /// Asks the kernel, and hands out what it and others have.
    fn ask(&self, pause: Option<Duration>) {
        let mut events = self.events.borrow_mut();
        let parked = self.driver.borrow().park(&mut events, pause);
        self.mailbox.inbox().after_park();
        match parked {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
            Err(error) => {
                panic!("epoll_wait failed, which only a closed descriptor can cause: {error}")
            }
        }
        for event in events.iter() {
            let socket = self.sockets.borrow().get(event.token);
            if let Some(socket) = socket {
                socket.report(event.readiness);
            }
        }
        let woken = events.woken();
        drop(events);
        if woken {
            self.end_operations();
        }
        self.collect_mail();
        self.fire_timers();
    }

    #[inline]
    fn collect_mail(&self) {
        if !self.mailbox.inbox().is_empty() {
            self.sort_mail();
        }
    }

    #[cold]
    fn sort_mail(&self) {
        let mut letters = self.letters.take();
        self.mailbox.inbox().drain_into(&mut letters);
        for letter in letters.drain(..) {
            match letter {
                // SAFETY: this loop is entered, so this is home; the letter's reference is given up.
                Mail::Wake(task) => unsafe { task.wake_from_mail() },
                // SAFETY: as above.
                Mail::Drop(task) => unsafe { task.drop_at_home() },
            }
        }
        self.letters.set(letters);
    }

    /// Wakes what is due. A reading of the clock costs 24 ns and is saved while there are no timers.
    fn fire_timers(&self) {
        if self.timers.borrow().is_empty() {
            return;
        }
        let now = self.now();
        self.fired.set(now);
        loop {
            let due = self.timers.borrow_mut().pop_due(now);
            match due {
                Some(waker) => waker.wake(),
                None => break,
            }
        }
    }
}
