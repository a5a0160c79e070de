//! Writing JSON: what is needed of it, straight into a string. Called by the walk, which may have 100,000 tasks to write.

use std::fmt::Write;

/// Appends a text in quotes.
pub fn text(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            letter if u32::from(letter) < 0x20 || u32::from(letter) == 0x7f => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// Appends items between brackets, with commas.
pub fn list<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (index, value) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        item(out, value);
    }
    out.push(']');
}

/// Appends a number.
pub fn number(out: &mut String, value: impl std::fmt::Display) {
    let _ = write!(out, "{value}");
}

/// Appends seconds, or null.
pub fn seconds(out: &mut String, value: Option<f64>) {
    match value {
        Some(value) if value.is_finite() => number(out, format_args!("{value:.6}")),
        Some(_) => out.push_str("-1"),
        None => out.push_str("null"),
    }
}
