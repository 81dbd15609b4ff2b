//! The README's tables say what the code does.

#[path = "../../examples/compat-table.rs"]
#[expect(dead_code, reason = "a program; its main is not called here")]
mod table;

#[test]
fn the_readme_is_up_to_date() {
    let readme = include_str!("../../../../README.md");
    assert!(readme.contains("<!-- flags -->") && readme.contains("<!-- operations -->"), "the tables have lost their marks");
    let renewed = table::renewed(readme);
    assert!(readme == renewed, "stale: cargo run -p lighter-api --example compat-table -- --write");
}
