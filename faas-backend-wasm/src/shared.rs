//! What all parts of a backend share.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use faas_core::{ActionSpec, Error, ErrorKind, InitError};
use tokio::time::Instant;

use crate::catalogue::Catalogue;
use crate::deployed::Deployed;
use crate::host::World;
use crate::instance::Live;
use crate::module::Loaded;
use crate::ticker::Ticker;
use crate::workshop::Workshop;

pub(crate) struct Shared {
    pub(crate) world: Arc<World>,
    pub(crate) workshop: Arc<Workshop>,
    pub(crate) ticker: Ticker,
    catalogue: Catalogue,
    /// By the address of their specification, which they keep alive.
    deployed: RwLock<HashMap<usize, Registered>>,
}

struct Registered {
    action: Arc<Deployed>,
    /// How often it was deployed and not removed.
    times: usize,
}

fn address(spec: &Arc<ActionSpec>) -> usize {
    Arc::as_ptr(spec) as usize
}

impl Shared {
    pub(crate) fn new(world: World, catalogue: Catalogue) -> Result<Self, Error> {
        let workshop = Arc::new(Workshop::new(&world.config)?);
        let ticker = Ticker::start(workshop.engine(), world.config.tick)?;
        let world = Arc::new(world);
        Ok(Self { world, workshop, ticker, catalogue, deployed: RwLock::default() })
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Checks that the action can run here, and registers it.
    pub(crate) async fn deploy(&self, spec: &Arc<ActionSpec>) -> Result<(), Error> {
        let (artifact, index) = self.catalogue.find(&spec.name)?;
        let facts = artifact.facts(&self.workshop).await?;
        if facts.memory > spec.limits.memory.bytes() {
            let (needs, has) = (facts.memory.div_ceil(1 << 20), spec.limits.memory);
            let text =
                format!("the module begins with {needs} MiB of memory, over the action's limit of {has}");
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let world = Arc::clone(&self.world);
        let action = Deployed::new(Arc::clone(spec), world, Arc::clone(artifact), index)?;
        match self.write().entry(address(spec)) {
            Entry::Occupied(mut known) => known.get_mut().times += 1,
            Entry::Vacant(place) => {
                place.insert(Registered { action: Arc::new(action), times: 1 });
            }
        }
        Ok(())
    }

    /// The deployed action of a specification.
    pub(crate) fn find(&self, spec: &Arc<ActionSpec>) -> Result<Arc<Deployed>, Error> {
        let deployed = self.deployed.read().unwrap_or_else(PoisonError::into_inner);
        deployed.get(&address(spec)).map(|known| Arc::clone(&known.action)).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("action '{}' is not deployed here any more", spec.name))
        })
    }

    /// Forgets an action; what still runs it keeps it.
    pub(crate) fn remove(&self, spec: &Arc<ActionSpec>) -> Option<Weak<Deployed>> {
        let mut deployed = self.write();
        let Entry::Occupied(mut known) = deployed.entry(address(spec)) else { return None };
        if known.get().times > 1 {
            known.get_mut().times -= 1;
            return None;
        }
        Some(Arc::downgrade(&known.remove().action))
    }

    /// The leases of all actions, and the memory that they may use, in MiB. Whoever runs an action holds it.
    pub(crate) fn leased(&self) -> (usize, u64) {
        let deployed = self.deployed.read().unwrap_or_else(PoisonError::into_inner);
        deployed.values().fold((0, 0), |(leases, memory), known| {
            let held = Arc::strong_count(&known.action) - 1;
            let mib = u64::from(known.action.spec.limits.memory.mib());
            (leases + held, memory + held as u64 * mib)
        })
    }

    /// The deployed actions that ask for reuse.
    pub(crate) fn reused(&self) -> Vec<Arc<ActionSpec>> {
        let deployed = self.deployed.read().unwrap_or_else(PoisonError::into_inner);
        let reused = deployed.values().filter(|known| known.action.reuse.is_some());
        reused.map(|known| Arc::clone(&known.action.spec)).collect()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<usize, Registered>> {
        self.deployed.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an instance of a module that is loaded.
    pub(crate) async fn instantiate(
        &self,
        action: Arc<Deployed>,
        loaded: &Loaded,
        began: Instant,
    ) -> Result<Live, InitError> {
        Live::make(&self.workshop, &self.ticker, loaded, action, began).await
    }
}
