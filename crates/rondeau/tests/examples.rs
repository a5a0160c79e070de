//! Each example runs and prints what its Python twin prints.
//!
//! Times are cut out of what is compared, and lines whose order depends on how busy the machine is are compared
//! without their order.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// The example's binary. Plain `cargo test` has built it; `cargo test --tests` has not, so cargo is asked once more.
fn example(name: &str) -> PathBuf {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--examples", "--manifest-path"]);
        build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(
            build.status().unwrap().success(),
            "the examples do not build"
        );
        let own = std::env::current_exe().unwrap();
        own.parent()
            .and_then(|deps| deps.parent())
            .unwrap()
            .join("examples")
    });
    BUILT.join(name)
}

fn output(name: &str, input: &str) -> Vec<String> {
    let mut child = Command::new(example(name))
        .arg("0.01")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(
        out.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(
        out.stderr.is_empty(),
        "{name}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Numbers with a decimal point become `#`.
fn without_times(line: &str) -> String {
    line.split(' ')
        .map(|word| {
            let number = word.trim_end_matches(['.', ':', ',']);
            let is_time = number.contains('.') && number.parse::<f64>().is_ok();
            if is_time {
                word.replacen(number, "#", 1)
            } else {
                word.to_owned()
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
        .trim_start()
        .to_owned()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn the_work_queue_is_shared_by_two() {
    let lines: Vec<_> = output("work_queue", "")
        .iter()
        .map(|line| without_times(line))
        .collect();
    assert_eq!(
        lines,
        [
            "Task One running 15",
            "Task Two running 10",
            "Task Two elapsed time: #",
            "Task Two running 5",
            "Task One elapsed time: #",
            "Task One running 2",
            "Task Two elapsed time: #",
            "Task One elapsed time: #",
            "",
            "Total elapsed time: #",
        ]
    );
}

#[test]
fn the_waiter_serves_whoever_is_ready() {
    let lines = output("waiter", "");
    let starting = |prefix: &str| {
        lines
            .iter()
            .filter(|line| line.contains(prefix))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        lines[..6],
        [
            "Alan asks for time, and gets a sheet",
            "Edsger asks for time, and gets a sheet",
            "Barbara asks for time, and gets a sheet",
            "Niklaus asks for time, and gets a sheet",
            "Ada orders at once: soup",
            "Grace orders at once: salad",
        ]
    );
    assert_eq!(
        starting("(ting: "),
        ["Edsger", "Barbara", "Alan", "Niklaus"]
            .map(|guest| format!("  (ting: {guest}'s sheet is filled in)"))
    );
    assert_eq!(
        starting(" orders: "),
        [
            "Edsger orders: soup",
            "Barbara orders: cake",
            "Alan orders: roast"
        ]
    );
    assert_eq!(
        starting("leaves"),
        ["Niklaus finds nothing on the menu, and leaves"]
    );
    assert_eq!(
        starting("served: "),
        [
            "served: soup for Ada",
            "served: soup for Edsger",
            "served: salad for Grace",
            "served: roast for Alan",
            "served: cake for Barbara",
        ]
    );
    assert_eq!(lines.len(), 6 + 4 + 3 + 1 + 5);
}

#[test]
fn the_kitchen_cooks_four_dishes_at_once() {
    let lines: Vec<_> = output("kitchen", "strawberries\n")
        .iter()
        .map(|line| without_times(line))
        .collect();
    let chef = |line: &str| format!("#  chef  {line}");
    assert_eq!(
        lines[..4],
        [
            chef("soup     chops the vegetables, sends for stock"),
            chef("roast    seasons the meat, heats the oven"),
            chef("salad    washes the leaves, mixes the dressing"),
            chef("dessert  bakes the cake, asks: what shall go on it?"),
        ]
    );
    assert_eq!(
        sorted(lines[4..8].to_vec()),
        sorted(vec![
            chef("dessert  decorates it"),
            chef("salad    adds the croutons"),
            chef("roast    carves it"),
            chef("soup     seasons it"),
        ])
    );
    assert_eq!(
        lines[8..10],
        [
            "",
            "Dinner: soup of leeks and barley, roast lamb, salad with herb dressing, cake with strawberries."
        ]
    );
    for (line, dish) in lines[11..15]
        .iter()
        .zip(["soup", "roast", "salad", "dessert"])
    {
        let (name, row) = line.split_once(" |").unwrap();
        assert_eq!(name, dish);
        assert!(
            row.contains('#') && row.chars().all(|mark| "#. ".contains(mark)),
            "{line}"
        );
    }
    assert_eq!(
        lines[15..],
        [
            "",
            "The dishes waited # minutes in all, the longest #.",
            "The clock on the wall says #: the waits went on at the same time.",
        ]
    );
}

#[test]
fn the_cake_gets_sugar_when_nobody_answers() {
    assert!(
        output("kitchen", "")
            .iter()
            .any(|line| line.ends_with("cake with icing sugar."))
    );
}
