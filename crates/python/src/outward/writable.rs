//! Which memory of the process can be written to: asked before a definition of CPython's is, which a build may keep read-only.

use std::fs;

/// The ranges, as `/proc/self/maps` has them (proc(5)).
pub struct Writable(Vec<(usize, usize)>);

impl Writable {
    /// As it is now. Nothing is, where the kernel does not say.
    pub fn now() -> Writable {
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Writable(maps.lines().filter_map(range).collect())
    }

    /// Whether these bytes are.
    pub fn has(&self, start: usize, size: usize) -> bool {
        self.0
            .iter()
            .any(|(from, to)| *from <= start && start + size <= *to)
    }
}

fn range(line: &str) -> Option<(usize, usize)> {
    let (addresses, rest) = line.split_once(' ')?;
    let (from, to) = addresses.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    rest.starts_with("rw")
        .then_some((address(from)?, address(to)?))
}
