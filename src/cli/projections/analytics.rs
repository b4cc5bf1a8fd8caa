//! The analysts' stream is rebuilt in place, and compared with the log itself.

use std::time::Instant;

use serde_json::{Value, json};

use super::Tools;
use crate::projections::{
    Projection as _,
    analytics::{Analytics, Compared},
    engine::generation::{BuildPurpose, Store as _},
};

impl Tools {
    /// Empties the stream. Its runner finds that it is fenced, and fills the new generation.
    pub(super) async fn rebuild_analytics(&self) -> anyhow::Result<Value> {
        let (_, store) = Analytics::open(&self.parts);
        let created = self.runners.log.end().await?.created;
        let before = store.live(Analytics::NAME, created).await?;
        let built = store.add(Analytics::NAME, created, BuildPurpose::Rebuild).await?;
        let text = format!(
            "{:<16} g{} begins, and a projector fills it: `projections status` says how far it is; its readers get \
             all events again",
            Analytics::NAME,
            built.number
        );
        Ok(json!({
            "name": Analytics::NAME, "generation": built.number, "before": before.number, "text": text,
        }))
    }

    /// Compares it with what would be written now. Nothing stands still for it.
    pub(super) async fn verify_analytics(&self) -> anyhow::Result<Value> {
        let (projection, store) = Analytics::open(&self.parts);
        let begun = Instant::now();
        let Compared { position, messages, differ } =
            projection.compare(&store, &self.runners.log).await?;
        let (equal, name) = (differ.is_empty(), Analytics::NAME);
        let text = if equal {
            format!("{name:<16} equal at {position}: {messages} messages")
        } else {
            let at: Vec<String> = differ.iter().map(ToString::to_string).collect();
            let at = at.join(", ");
            format!("{name:<16} differs at {at}; `projections rebuild {name}` mends it")
        };
        Ok(json!({
            "name": name, "equal": equal, "position": position, "rows": messages,
            "differences": differ, "seconds": begun.elapsed().as_secs_f64(), "text": text,
        }))
    }
}
