//! Keeps the library in memory once it was loaded: a collector closes and opens it again, and the script plays on.

fn main() {
    let argument = "-Wl,-z,nodelete";
    // What a build script has to say, it says on its standard output.
    let told = std::io::Write::write_fmt(
        &mut std::io::stdout(),
        format_args!("cargo::rustc-cdylib-link-arg={argument}\ncargo::rerun-if-changed=build.rs\n"),
    );
    told.expect("cargo reads what a build script says");
}
