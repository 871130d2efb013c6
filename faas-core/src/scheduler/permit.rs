//! The right to run one invocation.

use std::fmt;
use std::mem;
use std::sync::Arc;

use super::capacity::Stripe;

/// The right to run one invocation; dropping it lets the next one in.
#[must_use = "a permit that is dropped admits the next invocation"]
pub struct Permit(Right);

enum Right {
    Unlimited,
    Sole(Held),
    Shared(Arc<Held>),
}

/// Units of capacity that are given back on drop.
pub(super) struct Held {
    stripe: Arc<Stripe>,
    units: u32,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.stripe.give_back(u64::from(self.units));
    }
}

impl Permit {
    /// A permit of no scheduler.
    pub const fn unlimited() -> Self {
        Self(Right::Unlimited)
    }

    /// A second handle on the same right, which ends when both are dropped. It allocates on first use.
    ///
    /// A backend consumes the permit with the invocation; who wants to try again without queueing again keeps
    /// a handle.
    pub fn share(&mut self) -> Self {
        let shared = match mem::replace(&mut self.0, Right::Unlimited) {
            Right::Unlimited => return Self::unlimited(),
            Right::Sole(held) => Arc::new(held),
            Right::Shared(held) => held,
        };
        self.0 = Right::Shared(Arc::clone(&shared));
        Self(Right::Shared(shared))
    }

    /// The capacity that it holds: slots or MiB; 0 for [`unlimited`](Self::unlimited).
    #[must_use]
    pub fn weight(&self) -> u32 {
        match &self.0 {
            Right::Unlimited => 0,
            Right::Sole(held) => held.units,
            Right::Shared(held) => held.units,
        }
    }

    /// A permit for `units` that were taken from `stripe`.
    pub(super) fn held(stripe: &Arc<Stripe>, units: u32) -> Self {
        Self(Right::Sole(Held { stripe: Arc::clone(stripe), units }))
    }

    /// Ends the permit without giving its units back to the stripe; the caller does that.
    pub(super) fn disarm(mut self) -> u64 {
        match &mut self.0 {
            Right::Sole(held) => u64::from(mem::take(&mut held.units)),
            Right::Unlimited | Right::Shared(_) => 0,
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("weight", &self.weight()).finish_non_exhaustive()
    }
}
