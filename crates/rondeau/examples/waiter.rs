//! The waiter: one of them, six tables, and never a minute at a table that is still reading the menu.
//!
//!     cargo run --example waiter [-- MINUTE]   # MINUTE: seconds in a minute of the evening, 0.05 unless told
//!
//! A table that knows what it wants is a plain function call: it answers while the waiter stands there. A table that
//! asks for time gets an order sheet, which is a future: an answer that is not there yet. The guests write on the sheet
//! when they are ready, the bell at the pass rings, and the waiter, who has been serving others, comes by. The same
//! program in Python: examples/waiter.py.

use std::time::Duration;

use rondeau::{as_completed, oneshot, sleep, spawn};

/// What a guest writes on the sheet: a dish, or that nothing on the menu will do.
type Answer = Result<&'static str, String>;

/// Tables that order at once.
const READY: [(&str, &str); 2] = [("Ada", "soup"), ("Grace", "salad")];
const UNDECIDED: [(&str, u32, Option<&str>); 4] = [
    ("Alan", 3, Some("roast")),
    ("Edsger", 1, Some("soup")),
    ("Barbara", 2, Some("cake")),
    ("Niklaus", 4, None),
];

/// A guest asks for time: here is a sheet. The guest decides in a task of its own.
fn hand_out_sheet(
    guest: &'static str,
    time: Duration,
    dish: Option<&'static str>,
) -> oneshot::Receiver<Answer> {
    let (pen, sheet) = oneshot::channel();
    drop(spawn(async move {
        sleep(time).await;
        // If the waiter has left, nobody reads it.
        let _ = pen.send(dish.ok_or_else(|| format!("{guest} finds nothing on the menu")));
    }));
    sheet
}

/// Rings when the sheet is filled in, and hands it on: what asyncio does with `add_done_callback`.
async fn bell(guest: &str, sheet: oneshot::Receiver<Answer>) -> Answer {
    let answer = sheet.await.expect("every guest decides in the end");
    println!("  (ting: {guest}'s sheet is filled in)");
    answer
}

async fn cook(guest: &str, dish: &str, time: Duration) -> String {
    sleep(time).await;
    format!("{dish} for {guest}")
}

/// Goes round once, then comes back to whoever is ready first.
async fn take_orders(minute: Duration) -> Vec<(&'static str, &'static str)> {
    let mut orders = Vec::new();
    let mut sheets = Vec::new();
    for (guest, minutes, dish) in UNDECIDED {
        sheets.push(bell(guest, hand_out_sheet(guest, minutes * minute, dish)));
        println!("{guest} asks for time, and gets a sheet");
    }
    for (guest, order) in READY {
        orders.push((guest, order));
        println!("{guest} orders at once: {order}");
    }
    let mut sheets = as_completed(sheets);
    while let Some((table, answer)) = sheets.next().await {
        let guest = UNDECIDED[table].0;
        match answer {
            Ok(dish) => {
                orders.push((guest, dish));
                println!("{guest} orders: {dish}");
            }
            Err(sorry) => println!("{sorry}, and leaves"),
        }
    }
    orders
}

fn minutes(dish: &str) -> f64 {
    match dish {
        "soup" => 1.0,
        "salad" => 4.0,
        "roast" => 9.0,
        _ => 16.0,
    }
}

fn main() {
    let minute = std::env::args().nth(1).map_or(0.05, |arg| {
        arg.parse().expect("a minute is a number of seconds")
    });
    let minute = Duration::from_secs_f64(minute);
    rondeau::run(async {
        let orders = take_orders(minute).await;

        // The kitchen cooks everything at once; as_completed hands each plate over when it is hot.
        let plates = orders.iter().enumerate().map(|(place, (guest, dish))| {
            cook(
                guest,
                dish,
                minute.mul_f64(minutes(dish) + 0.5 * place as f64),
            )
        });
        let mut plates = as_completed(plates);
        while let Some((_, plate)) = plates.next().await {
            println!("served: {plate}");
        }
    });
}
