//! A new file under `migrations/` changes what `sqlx::migrate!` embeds, and cargo cannot see that by itself.

fn main() {
    // Printing is how a build script speaks to cargo.
    {
        println!("cargo::rerun-if-changed=../../migrations");
    }
}
