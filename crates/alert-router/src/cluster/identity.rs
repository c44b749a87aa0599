//! Who a member is.

use std::net::SocketAddr;

use foca::Identity;
use serde::{Deserialize, Serialize};

/// A member of the cluster, as all others know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Id {
    /// `--cluster.peer-name`, or a name made up at the start. The order of names is the order in
    /// which members notify.
    pub name: String,
    /// Where others reach it.
    pub address: SocketAddr,
    /// Milliseconds since the epoch at its start; one more each time it comes back after the others
    /// have given it up.
    pub birth: u64,
}

impl Identity for Id {
    type Addr = SocketAddr;

    fn renew(&self) -> Option<Id> {
        Some(Id {
            birth: self.birth.saturating_add(1),
            ..self.clone()
        })
    }

    fn addr(&self) -> SocketAddr {
        self.address
    }

    fn win_addr_conflict(&self, adversary: &Id) -> bool {
        self.birth > adversary.birth
    }
}

/// A name like upstream's: a ULID, the time first, then 80 random bits.
pub fn new_name(now_ms: u64) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let random = rand::random::<u128>() >> 48;
    let bits = (u128::from(now_ms) << 80) | random;
    (0..26)
        .rev()
        .map(|i| char::from(DIGITS[(bits >> (5 * i)) as usize & 31]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ulids() {
        let name = new_name(1_469_918_176_385);
        assert_eq!(name.len(), 26);
        assert!(name.starts_with("01ARYZ6S41"), "{name}");
        assert_ne!(name, new_name(1_469_918_176_385));
    }

    #[test]
    fn who_comes_back_wins() {
        let id = Id {
            name: "a".to_owned(),
            address: "127.0.0.1:1".parse().unwrap(),
            birth: 7,
        };
        let renewed = id.renew().unwrap();
        assert!(renewed.win_addr_conflict(&id));
        assert!(!id.win_addr_conflict(&renewed));
    }
}
