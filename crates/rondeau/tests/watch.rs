//! `fs::watch`: changes under a path are told with whole paths, new folders are watched, halves of moves find each other or are deletions.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rondeau::fs::watch::{Change, Kind, Watch, watch};

/// A folder that is removed at the test's end.
struct Folder(PathBuf);

impl Folder {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folder() -> Folder {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("rondeau-watch-test-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir(&path).expect("a temporary folder can be made");
    Folder(path)
}

async fn until(changes: &mut Watch, kind: Kind, path: &Path) -> Vec<Change> {
    let mut found = Vec::new();
    loop {
        let change = changes.next().await.expect("it can be read");
        let change = change.unwrap_or_else(|| panic!("ended without {kind:?} {path:?}: {found:?}"));
        let last = change.kind == kind && change.path == path;
        found.push(change);
        if last {
            return found;
        }
    }
}

#[test]
fn new_folders_are_watched_with_what_was_made_in_them() {
    let folder = folder();
    let deep = folder.path().join("a/b/c");
    rondeau::run(async {
        let mut changes = watch(folder.path(), true).await.expect("it can be watched");
        std::fs::create_dir_all(&deep).expect("made");
        std::fs::write(deep.join("early"), "").expect("written");
        let found = until(&mut changes, Kind::Created, &deep.join("early")).await;
        let paths: Vec<PathBuf> = found.into_iter().map(|change| change.path).collect();
        for path in [
            folder.path().join("a"),
            folder.path().join("a/b"),
            deep.clone(),
        ] {
            assert_eq!(
                paths.iter().filter(|each| **each == path).count(),
                1,
                "{path:?}"
            );
        }
        std::fs::write(deep.join("late"), "").expect("written");
        until(&mut changes, Kind::Written, &deep.join("late")).await;
    });
}

#[test]
fn a_move_is_one_change_and_a_half_one_a_deletion() {
    let (folder, elsewhere) = (folder(), folder());
    std::fs::create_dir(folder.path().join("a")).expect("made");
    rondeau::run(async {
        let mut changes = watch(folder.path(), true).await.expect("it can be watched");
        std::fs::rename(folder.path().join("a"), folder.path().join("b")).expect("renamed");
        let found = until(&mut changes, Kind::Moved, &folder.path().join("b")).await;
        assert_eq!(found[0].from, Some(folder.path().join("a")));
        std::fs::write(folder.path().join("b/inner"), "").expect("written");
        until(&mut changes, Kind::Created, &folder.path().join("b/inner")).await;
        until(&mut changes, Kind::Written, &folder.path().join("b/inner")).await;
        std::fs::rename(folder.path().join("b"), elsewhere.path().join("b")).expect("renamed");
        let found = until(&mut changes, Kind::Deleted, &folder.path().join("b")).await;
        assert_eq!(found.len(), 1);
        std::fs::write(elsewhere.path().join("b/unseen"), "").expect("written");
        std::fs::write(folder.path().join("seen"), "").expect("written");
        let found = until(&mut changes, Kind::Created, &folder.path().join("seen")).await;
        assert_eq!(found.len(), 1);
    });
}

#[test]
fn it_ends_with_what_is_watched() {
    let folder = folder();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).expect("made");
    rondeau::run(async {
        let mut changes = watch(&root, false).await.expect("it can be watched");
        std::fs::remove_dir(&root).expect("removed");
        until(&mut changes, Kind::Gone, &root).await;
        assert_eq!(changes.next().await.expect("it can be asked"), None);
        let missing = watch(&root, false).await.expect_err("it is not there");
        assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    });
}

#[test]
fn a_file_is_watched_by_its_name() {
    let folder = folder();
    let (menu, other) = (folder.path().join("menu"), folder.path().join("other"));
    std::fs::write(&menu, "soup").expect("written");
    rondeau::run(async {
        let mut changes = watch(&menu, false).await.expect("it can be watched");
        std::fs::write(&other, "roast").expect("written");
        std::fs::rename(&other, &menu).expect("renamed");
        assert_eq!(until(&mut changes, Kind::Created, &menu).await.len(), 1);
        std::fs::remove_file(&menu).expect("removed");
        until(&mut changes, Kind::Deleted, &menu).await;
    });
}

#[test]
fn many_changes_of_others_do_not_hide_the_one() {
    let folder = folder();
    let menu = folder.path().join("menu");
    std::fs::write(&menu, "").expect("written");
    rondeau::run(async {
        let mut changes = watch(&menu, false).await.expect("it can be watched");
        // More than one read's worth, none of it of the watched name.
        for n in 0..3000 {
            std::fs::write(folder.path().join(format!("other {n}")), "").expect("written");
        }
        std::fs::write(&menu, "soup").expect("written");
        until(&mut changes, Kind::Written, &menu).await;
    });
}
