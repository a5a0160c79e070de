//! The kitchen: four dishes, one chef, and no minute spent watching a pot.
//!
//!     cargo run --example kitchen [-- MINUTE]  # MINUTE: seconds in a kitchen minute, 0.2 unless told
//!
//! Every dish is active work, a wait, and a resumption. The waits are real, one of each kind that programs have:
//!
//!     soup      a network request      an HTTP server on loopback brings the stock
//!     roast     a database query       SQLite is the oven
//!     salad     file I/O               the dressing rests in a file
//!     dessert   a person's input       you say what goes on the cake: type it, or pipe it in
//!
//! The chef is the event loop: one thread, so one pair of hands. The assistants are the pool behind `spawn_blocking`; one
//! stands beside the only thing that must be waited for by standing there, the oven of SQLite. At the end the kitchen adds up how long the dishes waited and compares it with the clock on the wall. The same program in
//! Python: examples/kitchen.py.

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use rondeau::io::stdin;
use rondeau::{TcpListener, TcpStream, fs, gather, sleep, spawn, spawn_blocking};
use rusqlite::functions::FunctionFlags;

/// Minutes that each wait takes. How long dessert's takes is up to you.
const SOUP: u32 = 5;
const ROAST: u32 = 4;
const SALAD: u32 = 2;

type Served = Result<String, Box<dyn Error + Send + Sync>>;

/// What was done with a dish from when until when: `#` is the chef's work, `.` a wait.
struct Note {
    dish: &'static str,
    mark: char,
    began: f64,
    until: f64,
}

/// The clock on the wall, and the slate where each dish's work and waits are noted.
struct Kitchen {
    minute: Duration,
    opened: Instant,
    slate: RefCell<Vec<Note>>,
}

impl Kitchen {
    fn now(&self) -> f64 {
        self.opened.elapsed().as_secs_f64() / self.minute.as_secs_f64()
    }

    fn note(&self, dish: &'static str, mark: char, began: f64) {
        self.slate.borrow_mut().push(Note {
            dish,
            mark,
            began,
            until: self.now(),
        });
    }

    /// Active work: the chef's own hands. Nothing else happens meanwhile, so it had better be short.
    fn work(&self, dish: &'static str, what: &str) {
        let began = self.now();
        println!("{began:5.1}  chef  {dish:<8} {what}");
        let start = Instant::now();
        while start.elapsed() < self.minute / 10 {}
        self.note(dish, '#', began);
    }

    /// A wait: the dish is busy, the chef is not.
    async fn wait<T>(&self, dish: &'static str, future: impl Future<Output = T>) -> T {
        let began = self.now();
        let value = future.await;
        self.note(dish, '.', began);
        value
    }
}

// Four dishes. Read each from top to bottom: at `await` the chef walks off to whatever is ready.

async fn soup(kitchen: &Kitchen, supplier: SocketAddr) -> Served {
    kitchen.work("soup", "chops the vegetables, sends for stock");
    let answer = kitchen.wait("soup", fetch(supplier, "/stock")).await?;
    kitchen.work("soup", "seasons it");
    Ok(format!("soup of {answer}"))
}

async fn roast(kitchen: &Kitchen) -> Served {
    let minute = kitchen.minute;
    let oven = move || -> rusqlite::Result<String> {
        let db = rusqlite::Connection::open_in_memory()?;
        db.create_scalar_function("roasted", 2, FunctionFlags::SQLITE_UTF8, move |row| {
            thread::sleep(minute.mul_f64(row.get(1)?));
            row.get::<String>(0)
        })?;
        db.execute("CREATE TABLE larder (meat TEXT, minutes REAL)", [])?;
        db.execute("INSERT INTO larder VALUES ('lamb', ?)", [ROAST])?;
        db.query_row("SELECT roasted(meat, minutes) FROM larder", [], |row| {
            row.get(0)
        })
    };
    kitchen.work("roast", "seasons the meat, heats the oven");
    let meat = kitchen.wait("roast", spawn_blocking(oven)).await??; // SQLite only blocks, so an assistant stands by it.
    kitchen.work("roast", "carves it");
    Ok(format!("roast {meat}"))
}

/// The dressing lies in the fridge, a file, until it has come together.
async fn fridge(minute: Duration) -> io::Result<String> {
    let shelf = std::env::temp_dir().join(format!("dressing-{}.txt", std::process::id()));
    let file = fs::File::create(&shelf).await?;
    file.write_all("herb dressing").await?;
    file.sync_all().await?;
    sleep(SALAD * minute).await;
    let dressing = fs::read_to_string(&shelf).await;
    fs::remove_file(&shelf).await?;
    dressing
}

async fn salad(kitchen: &Kitchen) -> Served {
    kitchen.work("salad", "washes the leaves, mixes the dressing");
    let dressing = kitchen.wait("salad", fridge(kitchen.minute)).await?;
    kitchen.work("salad", "adds the croutons");
    Ok(format!("salad with {dressing}"))
}

async fn dessert(kitchen: &Kitchen) -> Served {
    kitchen.work("dessert", "bakes the cake, asks: what shall go on it?");
    let guest = stdin();
    let mut said = guest.lines();
    let line = kitchen.wait("dessert", said.next()).await?;
    let line = line.unwrap_or_default();
    let topping = if line.trim().is_empty() {
        "icing sugar"
    } else {
        line.trim()
    };
    kitchen.work("dessert", "decorates it");
    Ok(format!("cake with {topping}"))
}

/// A GET request, whole: HTTP/1.1 on a connection of its own.
async fn fetch(host: SocketAddr, path: &str) -> io::Result<String> {
    let stream = TcpStream::connect(host).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8(answer).map_err(io::Error::other)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!(
            "not the answer that was hoped for: {answer}"
        ))),
    }
}

/// The shop next door: a real HTTP server, which takes its time.
async fn supplier(shop: TcpListener, minute: Duration) -> io::Result<()> {
    loop {
        let (customer, _) = shop.accept().await?;
        let deliver = async move {
            let mut request = Vec::new();
            let mut chunk = [0; 512];
            while !request.ends_with(b"\r\n\r\n") {
                match customer.read(&mut chunk).await? {
                    0 => return Ok(()),
                    n => request.extend_from_slice(&chunk[..n]),
                }
            }
            sleep(SOUP * minute).await;
            let body = "leeks and barley";
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            customer.write_all((head + body).as_bytes()).await?;
            customer.shutdown(Shutdown::Write)
        };
        drop(spawn(async move {
            if let Err(error) = deliver.await {
                eprintln!("the supplier lost a customer: {error}");
            }
        }));
    }
}

/// Draws who had the chef's hands (#) and who only waited (.), then adds it up.
fn bill(kitchen: &Kitchen, wall: f64) {
    println!();
    let slate = kitchen.slate.borrow();
    for dish in ["soup", "roast", "salad", "dessert"] {
        let mut row = [' '; 61];
        for note in slate.iter().filter(|note| note.dish == dish) {
            let column = |time: f64| ((time / wall * 60.0) as usize).min(60);
            row[column(note.began)..=column(note.until)].fill(note.mark);
        }
        println!("{dish:>8} |{}", String::from_iter(row).trim_end());
    }
    let waits = slate
        .iter()
        .filter(|note| note.mark == '.')
        .map(|note| note.until - note.began);
    let (sum, longest) = waits.fold((0.0, 0.0), |(sum, longest): (f64, f64), wait| {
        (sum + wait, longest.max(wait))
    });
    println!("\nThe dishes waited {sum:.1} minutes in all, the longest {longest:.1}.");
    println!("The clock on the wall says {wall:.1}: the waits went on at the same time.");
}

async fn cook(minute: Duration) -> Result<(), Box<dyn Error + Send + Sync>> {
    let shop = TcpListener::bind("127.0.0.1:0").await?;
    let addr = shop.local_addr()?;
    drop(spawn(supplier(shop, minute)));
    let kitchen = Kitchen {
        minute,
        opened: Instant::now(),
        slate: RefCell::default(),
    };
    let (soup, roast, salad, dessert) = gather!(
        soup(&kitchen, addr),
        roast(&kitchen),
        salad(&kitchen),
        dessert(&kitchen)
    );
    let wall = kitchen.now();
    println!(
        "\nDinner: {}.",
        [soup?, roast?, salad?, dessert?].join(", ")
    );
    bill(&kitchen, wall);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let minute = std::env::args().nth(1).map_or(Ok(0.2), |arg| arg.parse())?;
    rondeau::run(cook(Duration::from_secs_f64(minute)))
}
