//! WASI preview 1, for what a guest does past its imports from us: `println!`, the standard library's clock, C.
//!
//! Most activations never call it, so its context is made by the first call. It has a standard input (empty but for
//! commands), outputs that are log lines, the environment of the action's specification, and the folders that the
//! specification asks for and the backend has. There is nothing else: no file, socket, argument or variable of the
//! host.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use faas_core::log::Stream;
use faas_core::{ActivationId, Entropy};
use rand_core::TryRng;
use tokio::time::Instant;
use wasmtime::Linker;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, HostMonotonicClock, HostWallClock, WasiCtxBuilder, WasiView};

use super::HostState;

/// The files that a guest may have open at once, its streams included: they are files of this process, too. A guest
/// that opens more is ended. Arbitrary.
const MOST_OPEN: usize = 256;

/// Adds the functions of `wasi_snapshot_preview1`.
pub(super) fn add_to(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    p1::add_to_linker_async(linker, HostState::wasi)
}

impl HostState {
    fn wasi(&mut self) -> &mut WasiP1Ctx {
        if self.wasi.is_none() {
            self.wasi = Some(Box::new(self.make_wasi()));
        }
        // It was just made.
        #[expect(clippy::unwrap_used, reason = "the line above fills it")]
        self.wasi.as_deref_mut().unwrap()
    }

    fn make_wasi(&self) -> WasiP1Ctx {
        let (action, entropy, command) = (&self.action, self.entropy(), self.action.is_command());
        let mut builder = WasiCtxBuilder::new();
        builder
            .stdout(self.output.pipe(Stream::Stdout, entropy, command))
            .stderr(self.output.pipe(Stream::Stderr, entropy, command))
            .wall_clock(Clock(Arc::clone(entropy)))
            .monotonic_clock(Clock(Arc::clone(entropy)))
            .arg(action.spec.name.name());
        // Guests make keys of it, so it is the system's unless the whole run is to be repeated.
        if entropy.is_seeded() {
            builder
                .secure_random(Random(Arc::clone(entropy)))
                .insecure_random(Random(Arc::clone(entropy)))
                .insecure_random_seed(u128::from(entropy.next_u64()));
        }
        for (key, value) in &action.spec.env {
            builder.env(key, value);
        }
        if command {
            builder.stdin(MemoryInputPipe::new(self.input().as_bytes().clone()));
            for (key, value) in self.variables(self.id()) {
                builder.env(key, value);
            }
        }
        for (name, directory) in &action.directories {
            let may = if directory.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            // A folder that is gone is not there for the guest either.
            if let Err(error) = builder.preopened_dir(&directory.path, format!("/{name}"), may) {
                self.notice(&format!("folder '{name}' cannot be opened: {error}"));
            }
        }
        let mut wasi = builder.build_p1();
        WasiView::ctx(&mut wasi).table.set_max_capacity(MOST_OPEN);
        wasi
    }

    /// What a command is told of its activation. Source: OpenWhisk's action interface.
    fn variables(&self, id: ActivationId) -> [(&'static str, String); 5] {
        let name = &self.action.spec.name;
        let left = self.deadline().saturating_duration_since(Instant::now());
        let deadline = self.wall().after(left);
        [
            ("__OW_NAMESPACE", name.namespace().to_owned()),
            ("__OW_ACTION_NAME", format!("/{name}")),
            ("__OW_ACTION_VERSION", self.action.spec.version.to_string()),
            ("__OW_ACTIVATION_ID", id.to_string()),
            ("__OW_DEADLINE", deadline.millis().to_string()),
        ]
    }
}

/// The platform's clocks.
struct Clock(Arc<Entropy>);

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.wall_clock().nanos())
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.since_base(Instant::now()).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The randomness of a platform with a seed.
struct Random(Arc<Entropy>);

impl TryRng for Random {
    type Error = Infallible;

    #[expect(clippy::cast_possible_truncation, reason = "the upper half is not asked for")]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u64() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        for chunk in into.chunks_mut(8) {
            let bytes = self.0.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}
