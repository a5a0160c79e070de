//! Files: what plain files would do, in order where there is one, and nothing lost where a future is dropped.

#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::io::{ErrorKind, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::task::{Context, Waker};
use std::time::Duration;

use rondeau::fs::{self, File, OpenOptions};
use rondeau::{gather, gather_all, sleep, spawn, yield_now};

/// A folder of the test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("rondeau-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Polls once and drops, as a `select!` that lost would.
fn begin_and_drop(future: impl Future) {
    let mut future = Box::pin(future);
    let polled = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "nothing of it may be done yet");
}

fn fifo(path: &Path) -> (File, std::fs::File) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
    // Both ends, so that neither opening waits for the other.
    let writer = std::fs::File::options().read(true).write(true).open(path);
    let reader = rondeau::run(File::open(path)).unwrap();
    (reader, writer.unwrap())
}

#[test]
fn tasks_that_write_at_once_write_one_after_the_other() {
    let folder = Folder::new("order");
    let path = folder.join("log");
    rondeau::run(async {
        let file = File::create(&path).await.unwrap();
        let lines = (0..100).map(|number| format!("{number:03} {}\n", "x".repeat(number * 50)));
        let writes = lines.clone().map(|line| file.write_all(line));
        gather_all(writes)
            .await
            .into_iter()
            .for_each(Result::unwrap);
        assert_eq!(
            fs::read_to_string(&path).await.unwrap(),
            lines.collect::<String>()
        );
    });
}

#[test]
fn many_reads_are_under_way_at_once() {
    let folder = Folder::new("at");
    let path = folder.join("numbers");
    let content: Vec<u8> = (0..400_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&path, &content).unwrap();
    rondeau::run(async {
        let file = File::open(&path).await.unwrap();
        let places: Vec<usize> = (0..300).map(|n| n * 5003).collect();
        let reads = places.iter().map(|place| file.read_at(4096, *place as u64));
        for (read, place) in gather_all(reads).await.into_iter().zip(&places) {
            assert_eq!(read.unwrap(), content[*place..place + 4096]);
        }
        let end = content.len() as u64;
        assert_eq!(file.read_at(9, end - 4).await.unwrap().len(), 4);
        assert_eq!(file.read_at(9, end).await.unwrap(), b"");
        assert_eq!(
            file.read(4).await.unwrap(),
            content[..4],
            "the position stayed"
        );
    });
}

#[test]
fn positions_are_a_plain_files() {
    let folder = Folder::new("seek");
    let path = folder.join("file");
    rondeau::run(async {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .await
            .unwrap();
        file.write_all("0123456789").await.unwrap();
        assert_eq!(file.seek(SeekFrom::Current(-3)).await.unwrap(), 7);
        assert_eq!(file.read(2).await.unwrap(), b"78");
        assert_eq!(file.seek(SeekFrom::End(2)).await.unwrap(), 12);
        assert_eq!(file.read(2).await.unwrap(), b"");
        file.write_all("!").await.unwrap();
        let before = file.seek(SeekFrom::Current(-99)).await.unwrap_err();
        assert_eq!(before.kind(), ErrorKind::InvalidInput);
        file.seek(SeekFrom::Start(9)).await.unwrap();
        assert_eq!(file.read_to_end().await.unwrap(), b"9\0\0!");
        file.set_len(4).await.unwrap();
        file.write_at("ab", 1).await.unwrap();
        file.seek(SeekFrom::Start(0)).await.unwrap();
        assert_eq!(file.read_to_string().await.unwrap(), "0ab3");
        assert_eq!(file.metadata().await.unwrap().len(), 4);
        file.sync_data().await.unwrap();
        file.close().await.unwrap();
        let again = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    });
}

#[test]
fn a_write_whose_future_was_dropped_is_where_it_was_begun() {
    let folder = Folder::new("dropped-write");
    let path = folder.join("file");
    rondeau::run(async {
        let file = File::create(&path).await.unwrap();
        begin_and_drop(file.write_all("soup "));
        file.write_all("roast").await.unwrap();
        file.close().await.unwrap();
        assert_eq!(fs::read_to_string(&path).await.unwrap(), "soup roast");
    });
}

#[test]
fn a_read_whose_future_was_dropped_loses_nothing() {
    let folder = Folder::new("dropped-read");
    std::fs::write(folder.join("file"), "soup roast").unwrap();
    let (pipe, mut writer) = fifo(&folder.join("pipe"));
    rondeau::run(async {
        let file = File::open(folder.join("file")).await.unwrap();
        begin_and_drop(file.read(4));
        assert_eq!(file.read(4).await.unwrap(), b"soup");

        begin_and_drop(pipe.read(100));
        yield_now().await;
        writer.write_all(b"salad dessert").unwrap();
        assert_eq!(pipe.read(5).await.unwrap(), b"salad");
        assert_eq!(pipe.read(100).await.unwrap(), b" dessert");
    });
}

#[test]
fn a_task_that_reads_a_pipe_is_cancelled_and_the_next_one_gets_the_bytes() {
    let folder = Folder::new("cancelled");
    let (pipe, mut writer) = fifo(&folder.join("pipe"));
    let pipe = std::rc::Rc::new(pipe);
    rondeau::run(async {
        let waiting = std::rc::Rc::clone(&pipe);
        let task = spawn(async move { waiting.read(100).await });
        sleep(Duration::from_millis(5)).await;
        task.cancel();
        assert!(task.await.is_err());
        let (read, ()) = gather!(pipe.read(100), async {
            writer.write_all(b"for the next").unwrap();
        });
        assert_eq!(read.unwrap(), b"for the next");
    });
}

#[test]
fn a_loop_ends_though_a_read_waits_for_ever() {
    let folder = Folder::new("for-ever");
    let (pipe, _writer) = fifo(&folder.join("pipe"));
    rondeau::run(async {
        drop(spawn(async move { pipe.read(1).await }));
        yield_now().await;
    });
}

#[test]
fn lines_of_any_length_and_end() {
    let folder = Folder::new("lines");
    let path = folder.join("file");
    let long = "x".repeat(200_000);
    let mut content = format!("soup\n\nroast\r\n{long}\n").into_bytes();
    content.extend(b"\xff\xfe\nlast");
    std::fs::write(&path, content).unwrap();
    rondeau::run(async {
        let file = File::open(&path).await.unwrap();
        let mut lines = file.lines();
        for expected in ["soup", "", "roast", &long] {
            assert_eq!(lines.next().await.unwrap().unwrap(), expected);
        }
        assert_eq!(
            lines.next().await.unwrap_err().kind(),
            ErrorKind::InvalidData
        );
        assert_eq!(lines.next().await.unwrap().unwrap(), "last");
        assert!(lines.next().await.unwrap().is_none());
        assert!(lines.next().await.unwrap().is_none());
    });
}

#[test]
fn an_atomic_write_keeps_the_permissions_and_leaves_nothing_beside() {
    let folder = Folder::new("atomic");
    let path = folder.join("menu");
    rondeau::run(async {
        fs::write_atomic(&path, "soup").await.unwrap();
        assert_eq!(fs::metadata(&path).await.unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640))
            .await
            .unwrap();
        fs::write_atomic(&path, "roast").await.unwrap();
        assert_eq!(fs::read_to_string(&path).await.unwrap(), "roast");
        assert_eq!(fs::metadata(&path).await.unwrap().mode() & 0o777, 0o640);

        fs::create_dir(folder.join("taken")).await.unwrap();
        let taken = fs::write_atomic(folder.join("taken"), "salad").await;
        assert_eq!(taken.unwrap_err().kind(), ErrorKind::IsADirectory);
        let nowhere = fs::write_atomic(folder.join("no/where"), "salad").await;
        assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::NotFound);
    });
    assert_eq!(folder.names(), ["menu", "taken"]);
}

#[test]
fn an_atomic_write_whose_future_was_dropped_leaves_nothing_beside() {
    let folder = Folder::new("dropped");
    let path = folder.join("menu");
    rondeau::run(async {
        fs::write_atomic(&path, "soup").await.unwrap();
        for number in 0..20 {
            begin_and_drop(fs::write_atomic(&path, vec![b'x'; 100_000 + number]));
        }
        // Behind them all, since it waits for the same threads.
        while fs::write_atomic(&path, "roast").await.is_err() {}
        while folder.names() != ["menu"] {
            sleep(Duration::from_millis(1)).await;
        }
    });
    let left = std::fs::read(&path).unwrap();
    assert!(left == b"roast" || left.iter().all(|byte| *byte == b'x'));
}

#[test]
fn an_offset_that_no_file_has_is_refused() {
    let folder = Folder::new("offsets");
    let path = folder.join("menu");
    rondeau::run(async {
        fs::write(&path, "soup").await.unwrap();
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&path).await.unwrap();
        for offset in [u64::MAX, i64::MAX as u64 + 1] {
            let kinds = [
                file.read_at(4, offset).await.unwrap_err().kind(),
                file.write_at("leek", offset).await.unwrap_err().kind(),
                file.seek(SeekFrom::Start(offset)).await.unwrap_err().kind(),
            ];
            assert_eq!(kinds, [ErrorKind::InvalidInput; 3]);
        }
        assert_eq!(file.read(9).await.unwrap(), b"soup");
        file.close().await.unwrap();
    });
}

#[test]
fn holes_stay_holes_in_a_copy() {
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new("holes");
    let (source, target) = (folder.join("source"), folder.join("target"));
    let mut file = std::fs::File::create(&source).unwrap();
    file.write_all(b"soup").unwrap();
    file.set_len(64 << 20).unwrap();
    drop(file);
    rondeau::run(async {
        assert_eq!(fs::copy(&source, &target).await.unwrap(), 64 << 20);
    });
    let (from, to) = (source.metadata().unwrap(), target.metadata().unwrap());
    assert_eq!(to.len(), 64 << 20);
    assert!(to.blocks() <= from.blocks().max(16), "{}", to.blocks());
    assert_eq!(&std::fs::read(&target).unwrap()[..5], b"soup\0");
}

#[test]
fn names_and_directories() {
    let folder = Folder::new("names");
    rondeau::run(async {
        let (one, two) = (folder.join("one"), folder.join("two"));
        fs::write(&one, "soup").await.unwrap();
        fs::rename(&one, &two).await.unwrap();
        assert_eq!(
            fs::metadata(&one).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        fs::symlink(&two, &one).await.unwrap();
        assert!(
            fs::symlink_metadata(&one).await.unwrap().is_symlink()
                && fs::metadata(&one).await.unwrap().is_file()
        );
        assert_eq!(fs::read_link(&one).await.unwrap(), two);
        fs::hard_link(&two, folder.join("three")).await.unwrap();
        assert_eq!(fs::copy(&two, folder.join("four")).await.unwrap(), 4);
        fs::create_dir_all(folder.join("a/b")).await.unwrap();
        let full = fs::remove_dir(folder.join("a")).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::DirectoryNotEmpty);
        let mut names: Vec<_> = fs::read_dir(&folder.0)
            .await
            .unwrap()
            .iter()
            .map(|entry| (entry.file_name(), entry.file_type().is_dir()))
            .collect();
        names.sort();
        let expected = [
            ("a", true),
            ("four", false),
            ("one", false),
            ("three", false),
            ("two", false),
        ];
        assert_eq!(names, expected.map(|(name, dir)| (name.into(), dir)));
        fs::remove_dir_all(folder.join("a")).await.unwrap();
        fs::remove_file(&two).await.unwrap();
        assert_eq!(
            fs::canonicalize(&one).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn errors_are_the_systems() {
    let folder = Folder::new("errors");
    let path = folder.join("file");
    rondeau::run(async {
        let missing = File::open(&path).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let zero = File::open("a\0b").await.unwrap_err();
        assert_eq!(zero.to_string(), r#"the path "a\0b" contains a zero byte"#);
        let nothing = OpenOptions::new().open(&path).await.unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::InvalidInput);
        let file = File::create(&path).await.unwrap();
        assert!(file.read(1).await.is_err(), "opened to write");
        file.write_all("still usable").await.unwrap();
        let full = OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .await
            .unwrap();
        full.write_all("no room").await.unwrap_err();
        begin_and_drop(full.write_all("no room"));
        let late = full.sync_all().await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::StorageFull);
        let pipe = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/ptmx")
            .await
            .unwrap();
        let position = pipe.seek(SeekFrom::Start(0)).await.unwrap_err();
        assert_eq!(position.kind(), ErrorKind::NotSeekable);
    });
}

#[test]
fn a_clock_that_jumps_waits_for_files() {
    let folder = Folder::new("clock");
    let runtime = rondeau::Builder::new().virtual_clock().build().unwrap();
    let before = runtime.block_on(async {
        let start = rondeau::Instant::now();
        fs::write(folder.join("file"), vec![0; 1 << 20])
            .await
            .unwrap();
        start.elapsed()
    });
    assert_eq!(before, Duration::ZERO);
    let first = runtime.block_on(async {
        rondeau::select(
            sleep(Duration::from_secs(3600)),
            fs::read(folder.join("file")),
        )
        .await
    });
    assert!(matches!(first, rondeau::Either::Right(_)));
}

#[test]
fn megabytes_go_through_a_pipe_whole_and_in_order() {
    let folder = Folder::new("megabytes");
    let path = folder.join("pipe");
    let (_keeps_it_open, _other) = fifo(&path);
    let sent: Vec<u8> = (0..16_u32 << 20).map(|i| (i % 251) as u8).collect();
    let expected = sent.len();
    let reader = std::thread::spawn({
        let path = path.clone();
        move || {
            let mut pipe = std::fs::File::open(path).unwrap();
            let mut all = vec![0; expected];
            std::io::Read::read_exact(&mut pipe, &mut all).unwrap();
            all
        }
    });
    let written = sent.clone();
    rondeau::run(async {
        let pipe = OpenOptions::new().write(true).open(&path).await.unwrap();
        pipe.write_all(written).await.unwrap();
    });
    assert!(reader.join().unwrap() == sent);
}

#[test]
fn more_than_there_is_memory_is_an_error_and_not_the_end() {
    let folder = Folder::new("sparse");
    let path = folder.join("file");
    let file = std::fs::File::create(&path).unwrap();
    let huge = (40..=46).rev().find(|bits| file.set_len(1 << bits).is_ok());
    let overcommit = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap();
    rondeau::run(async {
        let file = File::open(&path).await.unwrap();
        for read in [
            file.read(usize::MAX).await,
            file.read_at(usize::MAX, 0).await,
            rondeau::io::stdin().read(usize::MAX).await,
        ] {
            assert_eq!(read.unwrap_err().kind(), ErrorKind::OutOfMemory);
        }
        // As std has it, where the kernel does not promise memory that is not there.
        if huge.is_some() && overcommit.trim() != "1" {
            let theirs = std::fs::read(&path).unwrap_err().kind();
            assert_eq!(theirs, ErrorKind::OutOfMemory);
            assert_eq!(fs::read(&path).await.unwrap_err().kind(), theirs);
            assert_eq!(fs::read_to_string(&path).await.unwrap_err().kind(), theirs);
        }
    });
}
