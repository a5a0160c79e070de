//! Answering a question under the GIL: all tasks, some of them at one moment, or the loops' figures.
//!
//! Runs in a thread of its own, started by the desk for each question. Errors of the program's own objects are nobody's: what
//! cannot be read is left out.
//!
//! The whole list is read in slices, so two tasks may have been read at different times: enough to see, and not enough to say that
//! two wait for each other. Who says so asks for just these, which are read in one slice, with the references to what they wait on
//! counted.

use super::answer::{Answer, numbers, read};
use super::figures::{threads, write_loops};
use super::hold::{Hold, Stopped};
use super::references::{References, weak_count};
use super::tables::referents;
use super::{chain, json, tasks};
use crate::ffi::suspended;
use pyo3_ffi as ffi;
use rondeau_driver::porter::Guest;
use std::collections::{HashMap, HashSet};

/// What is asked.
pub enum Question {
    /// All tasks.
    Tasks,
    /// The tasks at these addresses, at one moment, and how many references they have to the objects at those.
    Some(Vec<usize>, Vec<usize>),
    /// The loops' figures, and how many tasks are in which state.
    Top,
}

/// Reads a question: a word, and behind `some` two lines of hexadecimal addresses.
pub fn parse(question: &[u8]) -> Result<Question, &'static str> {
    let text = std::str::from_utf8(question).map_err(|_| "the question is not UTF-8")?;
    let mut lines = text.split('\n');
    let word = lines.next().unwrap_or("");
    let mut addresses = || {
        let line = lines.next().unwrap_or("");
        line.split_ascii_whitespace()
            .map(|word| {
                usize::from_str_radix(word, 16).map_err(|_| "an address is not hexadecimal")
            })
            .collect::<Result<Vec<usize>, &'static str>>()
    };
    match word {
        "tasks" => Ok(Question::Tasks),
        "top" => Ok(Question::Top),
        "some" => Ok(Question::Some(addresses()?, addresses()?)),
        _ => Err("the question is not known: this program has another version of Rondeau"),
    }
}

/// Answers it.
pub fn answer(guest: &Guest, question: Question) {
    // SAFETY: the desk starts this thread while the interpreter lives, and whoever ends that waits for it.
    let answered = unsafe {
        let mut hold = Hold::take(!matches!(question, Question::Some(..)));
        suspended::learn();
        let answered = match question {
            Question::Tasks => every(&mut hold),
            Question::Some(tasks, objects) => some(&mut hold, &tasks, &objects),
            Question::Top => top(&mut hold),
        };
        answered.map(|mut answer| {
            answer.tables.let_go();
            (answer, hold.give_back())
        })
    };
    // The GIL is given back: writing the answer down and sending it are nobody's wait.
    let _ = match answered {
        Ok((answer, held)) => {
            guest.hand_over(br#"{"answer":true}"#, answer.finish(held).as_bytes())
        }
        Err(Stopped) => {
            guest.tell(br#"{"error":"the program has just closed its last loop, forked or ended"}"#)
        }
    };
}

unsafe fn every(hold: &mut Hold) -> Result<Answer, Stopped> {
    // SAFETY: the GIL is held but between slices, when only weak references are kept.
    unsafe {
        let mut answer = Answer::new();
        answer.missed = tasks::each(hold, |task| drop(answer.add(task)))?;
        let stacks = threads(&mut answer.tables);
        write_loops(&mut answer.rest, &stacks);
        Ok(answer)
    }
}

unsafe fn some(hold: &mut Hold, wanted: &[usize], objects: &[usize]) -> Result<Answer, Stopped> {
    // SAFETY: the GIL is held throughout.
    unsafe {
        let mut answer = Answer::new();
        let mut references = References::to(objects);
        let wanted: HashSet<usize> = wanted.iter().copied().collect();
        tasks::each(hold, |task| {
            if !wanted.contains(&task.addr()) {
                return;
            }
            let Some((read, found)) = answer.add(task) else {
                return;
            };
            let held = found.links.iter().flat_map(|link| referents(link.as_ptr()));
            for object in held.chain(read.waiter) {
                references.see(&object);
            }
        })?;
        let out = &mut answer.rest;
        out.push_str(r#","references":{"#);
        for (index, (object, seen)) in references.count().into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            let object = object.as_ptr();
            let (address, weak) = (object.addr(), weak_count(object));
            // One of them is ours.
            let all = ffi::Py_REFCNT(object) - 1;
            json::number(out, format_args!("\"{address}\":[{all},{seen},{weak}]"));
        }
        out.push('}');
        Ok(answer)
    }
}

/// The figures, and the tasks' states without their stacks.
unsafe fn top(hold: &mut Hold) -> Result<Answer, Stopped> {
    // SAFETY: as in `every`.
    unsafe {
        let numbers = numbers();
        let mut counts: HashMap<(u64, &'static str), u64> = HashMap::new();
        tasks::each(hold, |object| {
            if let Some(task) = read(object, &numbers) {
                let waits = task.waits();
                let state = if waits {
                    "waiting"
                } else if chain::is_running(task.coro.as_ptr()) {
                    "running"
                } else {
                    "ready"
                };
                *counts.entry((task.loop_, state)).or_default() += 1;
            }
        })?;
        let mut answer = Answer::new();
        let out = &mut answer.rest;
        out.push_str(r#","states":"#);
        json::list(out, &counts, |out, ((loop_, state), count)| {
            json::number(out, format_args!(r#"[{loop_},"{state}",{count}]"#));
        });
        write_loops(out, &HashMap::new());
        Ok(answer)
    }
}
