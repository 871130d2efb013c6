//! How the program starts: it tells what is in it, or serves it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::{env, panic};

use super::ending;
use super::output::Output;
use crate::action::ActionSet;
use crate::artifact::Description;
use crate::log::Stream;

/// The flag that has the program print what it contains, as a [`Description`] in JSON, and end.
const DESCRIBE: &str = "--describe";

/// Does what the arguments ask for. `abi` is the version of the interface that is served.
pub(in crate::guest) fn main(
    actions: fn() -> ActionSet,
    abi: u32,
    serve: fn(fn() -> ActionSet) -> io::Result<()>,
) -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let done = match (arguments.next(), arguments.next()) {
        (None, _) => serve(actions),
        (Some(flag), None) if flag == DESCRIBE => describe(actions, abi),
        _ => Err(io::Error::other(format!("the only argument that is known is {DESCRIBE}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn describe(actions: fn() -> ActionSet, abi: u32) -> io::Result<()> {
    let mut text = serde_json::to_vec(&Description::of(actions(), abi))?;
    text.push(b'\n');
    io::stdout().write_all(&text)
}

/// Takes the program's output over, and sees to it that what was printed is shown however the program ends.
pub(in crate::guest) fn take_output() -> io::Result<&'static Output> {
    let output = Output::take()?;
    ending::arrange(output)?;
    let hook = Box::new(move |panic: &panic::PanicHookInfo<'_>| {
        // The record has the message; whoever looks at the sandbox sees the place as well.
        output.write(Stream::Stderr, format!("{panic}\n").as_bytes());
    });
    panic::set_hook(hook);
    Ok(output)
}
