//! Asking a module what is in it, without a backend.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use faas_core::artifact::Description;
use faas_core::guest::wasi::Reply as ReplyKind;
use faas_core::{Error, ErrorKind};
use wasmtime::{Engine, Module, Store};

use crate::config::ModuleLimits;
use crate::host::HostState;
use crate::inspect::{DESCRIBE, INITIALIZE, Inspector};
use crate::{engine, error, imports};

/// The most that a module may compute to describe itself, in units of fuel. Arbitrary: a list of 100 actions takes
/// about a hundredth.
const FUEL: u64 = 1_000_000_000;

/// What a guest module says of itself.
///
/// The module is validated, compiled and run with nothing granted and a bounded amount of computing.
///
/// # Errors
/// `InvalidArgument` when it is no guest module, or fails to describe itself, saying why.
pub fn describe(module: &[u8]) -> Result<Description, Error> {
    let mut settings = engine::common();
    settings.consume_fuel(true);
    let engine = Engine::new(&settings).map_err(|source| refused("there is no Wasm engine", source))?;
    let features = engine.get_wasm_features();
    let linker = imports::make(&engine)?;
    let known = imports::types(&engine, &linker)?;
    let limits = ModuleLimits::default();
    Inspector { limits: &limits, features, imports: &known }.inspect(module)?;
    let compiled =
        Module::new(&engine, module).map_err(|source| refused("the module cannot be compiled", source))?;
    let mut store = Store::new(&engine, HostState::of_nobody()?);
    store.limiter(|state| state);
    store.set_fuel(FUEL).map_err(|source| refused("the engine counts no fuel", source))?;
    let describing = async {
        let instance = linker.instantiate_async(&mut store, &compiled).await?;
        for name in [INITIALIZE, DESCRIBE] {
            match instance.get_typed_func::<(), ()>(&mut store, name) {
                Ok(function) => function.call_async(&mut store, ()).await?,
                Err(_) if name == INITIALIZE => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    let described = at_once(describing);
    let reply = store.data_mut().take_reply();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let bad = |text: String| Error::new(ErrorKind::InvalidArgument, text);
    match reply {
        Some(reply) if reply.kind == ReplyKind::Description => serde_json::from_slice(&reply.bytes)
            .map_err(|error| bad(format!("the module's description of itself cannot be read: {error}"))),
        Some(reply) if reply.kind == ReplyKind::Panicked => {
            Err(bad(format!("the module panicked when it was to describe itself: {}", text(&reply.bytes))))
        }
        _ => match described {
            Some(Ok(())) => Err(bad("the module did not describe itself".to_owned())),
            Some(Err(source)) => Err(refused("the module cannot describe itself", source)),
            None => Err(bad("the module waits when it is to describe itself".to_owned())),
        },
    }
}

fn refused(text: &str, source: wasmtime::Error) -> Error {
    let text = format!("{text}: {}", error::chain(&source));
    error::caused(ErrorKind::InvalidArgument, text, source)
}

/// The output of a future that never waits.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
