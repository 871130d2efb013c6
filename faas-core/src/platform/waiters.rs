//! Who waits for which record.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::activation::ActivationId;

/// Who waits for which record.
#[derive(Default)]
pub(super) struct Waiters {
    /// How many wait: the path of every activation looks at this alone.
    count: AtomicUsize,
    by_id: Mutex<HashMap<ActivationId, Vec<oneshot::Sender<()>>>>,
}

impl Waiters {
    /// Asks to be woken when the record is written after this call.
    pub(super) fn wait_for(&self, id: ActivationId) -> Waiting<'_> {
        let (sender, receiver) = oneshot::channel();
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.entry(id).or_default().push(sender);
        self.count.store(by_id.len(), Ordering::SeqCst);
        Waiting { waiters: self, id, receiver }
    }

    /// Wakes who waits for the record. It is in the store by now: who looks there after asking to be woken
    /// either finds it or is counted here.
    pub(super) fn written(&self, id: ActivationId) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = by_id.remove(&id);
        self.count.store(by_id.len(), Ordering::SeqCst);
        drop(by_id);
        for sender in senders.into_iter().flatten() {
            let _ = sender.send(());
        }
    }
}

/// Somebody who waits for a record; dropping it forgets them.
pub(super) struct Waiting<'a> {
    waiters: &'a Waiters,
    id: ActivationId,
    receiver: oneshot::Receiver<()>,
}

impl Waiting<'_> {
    pub(super) async fn written(mut self) {
        let _ = (&mut self.receiver).await;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        let mut by_id = self.waiters.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(senders) = by_id.get_mut(&self.id) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                by_id.remove(&self.id);
            }
        }
        self.waiters.count.store(by_id.len(), Ordering::SeqCst);
    }
}
