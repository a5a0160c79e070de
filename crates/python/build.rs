//! Hands the interpreter's version to `cfg(Py_3_x)`; only `ffi/compat.rs` and `mod` lines may ask for it.
fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
