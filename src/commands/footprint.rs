//! The footprint of an aggregate's state in memory, about: caches are bounded by that and not by their number of
//! entries.

use super::{complaint::Complaint, group::Group, session::Session, user::User};
use crate::events::{ConnectionId, Device, NodeId};

/// What a state costs beside its own size.
pub trait Footprint {
    /// Bytes, about. Asked after every event, so it looks at nothing that grows without a bound.
    fn footprint(&self) -> usize;
}

/// A membership with its places in the maps of its group.
const MEMBERSHIP: usize = 256;

impl Footprint for User {
    fn footprint(&self) -> usize {
        self.account().map_or(0, |account| {
            size_of_val(account)
                + account.username.0.len()
                + account.nickname.len()
                + account.avatar.len()
                + account.userset.len()
                + account.device.as_ref().map_or(0, device)
        })
    }
}

fn device(device: &Device) -> usize {
    let Device { fingerprint, uniplatform, model, os, brand } = device;
    [fingerprint, uniplatform, model, os, brand].map(String::len).iter().sum()
}

impl Footprint for Session {
    fn footprint(&self) -> usize {
        self.open.len() * 2 * size_of::<(ConnectionId, NodeId)>()
    }
}

impl Footprint for Group {
    fn footprint(&self) -> usize {
        self.active().map_or(0, |group| {
            let row = &group.row;
            size_of_val(group)
                + row.name.len()
                + row.avatar.len()
                + row.remark.len()
                + group.memberships().len() * MEMBERSHIP
        })
    }
}

impl Footprint for Complaint {
    fn footprint(&self) -> usize {
        match self {
            Self::Filed(filed) => {
                let said = &filed.statement;
                size_of_val(&**filed)
                    + said.reason.len()
                    + said.content.len()
                    + said.images.len()
                    + said.chat.len()
            }
            Self::Unfiled | Self::Withdrawn => 0,
        }
    }
}
