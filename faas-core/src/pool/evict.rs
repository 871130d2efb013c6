//! Eviction: room for those who wait.

use tokio::time::Instant;

use super::IdleEntry;
use super::state::Shelf;
use super::turn::Turn;
use crate::sandbox::{SandboxFactory, Shape};

impl<F: SandboxFactory> Turn<'_, F> {
    /// Evicts until `demand` MiB are free or about to be: stem cells first, which are bound to nobody, then idle
    /// sandboxes by the policy. Evicts nothing where all together do not suffice; what is missing is then
    /// under way and becomes idle.
    pub(super) fn make_room(&mut self, demand: u64) {
        let coming = self.shared.bounds.budget - self.state.used + self.state.freeing;
        let mut short = demand.saturating_sub(coming);
        if short == 0 {
            return;
        }
        let mut candidates = self.idle_slots();
        let stems = self.state.shelves.iter();
        let of_stems: u64 =
            stems.map(|(s, shelf)| shelf.stems.len() as u64 * u64::from(s.memory.mib())).sum();
        let of_idle: u64 = candidates.iter().map(|(_, entry)| u64::from(entry.memory.mib())).sum();
        if of_stems + of_idle < short {
            return;
        }
        while let Some((mib, stem)) = (short > 0).then(|| self.pop_stem()).flatten() {
            self.discard(mib, stem);
            self.state.counted.evictions += 1;
            short = short.saturating_sub(mib);
        }
        let now = Instant::now();
        let mut entries: Vec<IdleEntry> = candidates.iter().map(|(_, entry)| *entry).collect();
        while short > 0 && !candidates.is_empty() {
            let chosen = self.state.keep_alive.victim(&entries, now).filter(|i| *i < entries.len());
            let chosen = chosen.unwrap_or(0);
            let ((index, slot), entry) = candidates.swap_remove(chosen);
            entries.swap_remove(chosen);
            self.doom_slot(index, slot);
            self.state.counted.evictions += 1;
            short = short.saturating_sub(entry.memory.mib().into());
        }
    }

    fn pop_stem(&mut self) -> Option<(u64, F::Stem)> {
        let pop = |(shape, shelf): (&Shape, &mut Shelf<F::Stem>)| {
            Some((u64::from(shape.memory.mib()), shelf.stems.pop()?.0))
        };
        self.state.shelves.iter_mut().find_map(pop)
    }

    /// Every slot that nobody leases, by group and slot.
    pub(super) fn idle_slots(&self) -> Vec<((usize, usize), IdleEntry)> {
        let mut idle = Vec::new();
        for (index, group) in &self.state.groups {
            let slots = group.slots.iter().filter(|(_, slot)| slot.active == 0);
            idle.extend(slots.map(|(slot, found)| ((index, slot), found.entry)));
        }
        idle
    }
}
