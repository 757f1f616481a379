//! The account that a server runs as: PostgreSQL refuses to be root.

use std::{fs, io, os::unix::fs::chown, path::Path};

/// Accounts that Linux distributions have for this, the best first.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Account {
    /// None is needed unless this process is root.
    pub(crate) fn needed() -> io::Result<Option<Self>> {
        if !crate::is_root() {
            return Ok(None);
        }
        let known = fs::read_to_string("/etc/passwd")?;
        let of = |name: &str| known.lines().find_map(|line| Self::of(line, name));
        let account = ACCOUNTS.into_iter().find_map(of);
        account
            .map(Some)
            .ok_or_else(|| io::Error::other("this is root, and there is no account to be instead"))
    }

    /// `name:x:101:104:…`
    fn of(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let (user, group) = (fields.nth(1)?, fields.next()?);
        Some(Self { user: user.parse().ok()?, group: group.parse().ok()? })
    }

    pub(crate) fn own(self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.user), Some(self.group))
    }
}

#[cfg(test)]
mod tests {
    use super::Account;

    #[test]
    fn accounts_are_read_from_their_line() {
        let account =
            Account::of("postgres:x:101:104:PostgreSQL,,,:/var/lib/postgresql:/bin/bash", "postgres");
        assert_eq!(account.map(|account| (account.user, account.group)), Some((101, 104)));
        assert!(Account::of("postgresql:x:1:2::/:", "postgres").is_none());
    }
}
