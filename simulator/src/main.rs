//! The `orrery` command.

fn main() -> std::process::ExitCode {
    let exit = orrery::cli::run(std::env::args_os());
    std::process::ExitCode::from(exit.code())
}
