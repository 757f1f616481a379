//! Who is asking.

use streamer_protocol::{Permissions, TenantId, Timestamp, UserId};

/// The longest user, tenant, permission or topic grant in a token, in characters.
pub const NAME_CHARS_MAX: usize = 256;

/// What a valid token says about its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The claim `sub`.
    pub user: UserId,
    /// The claim `tenant_id`.
    pub tenant: TenantId,
    /// The claim `permissions`; none if it is absent.
    pub permissions: Permissions,
    /// The claim `topics`, as written: grants of topics, beside the permissions.
    pub topics: Vec<String>,
    /// The claim `exp`, without leeway.
    pub expires_at: Timestamp,
}

impl Identity {
    /// Who it is by another's word than a token's. None if a name is not usable: empty, too long, or with control
    /// characters.
    #[must_use]
    pub fn of(
        user: &str,
        tenant: &str,
        permissions: Vec<String>,
        topics: Vec<String>,
        expires_at: Timestamp,
    ) -> Option<Self> {
        let mut names = permissions.iter().chain(&topics).map(String::as_str);
        if !is_name(user) || !is_name(tenant) || !names.all(is_name) {
            return None;
        }
        let (user, tenant) = (UserId::new(user), TenantId::new(tenant));
        Some(Self { user, tenant, permissions: permissions.into_iter().collect(), topics, expires_at })
    }

    /// The same user of the same tenant: what a refreshed token must be of.
    #[must_use]
    pub fn same_user(&self, other: &Self) -> bool {
        self.tenant == other.tenant && self.user == other.user
    }
}

/// Whether a text can name somebody or something.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= NAME_CHARS_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_is_of_the_same_user_in_the_same_tenant() {
        let identity = |user: &str, tenant: &str| Identity {
            user: UserId::new(user),
            tenant: TenantId::new(tenant),
            permissions: [Permissions::READ].into_iter().collect(),
            topics: Vec::new(),
            expires_at: Timestamp::from_millis(0),
        };
        let ada = identity("ada", "acme");
        assert!(ada.same_user(&Identity { expires_at: Timestamp::from_millis(9), ..ada.clone() }));
        assert!(!ada.same_user(&identity("ada", "globex")));
        assert!(!ada.same_user(&identity("bob", "acme")));
    }

    #[test]
    fn names_by_anothers_word_are_checked_as_those_of_tokens() {
        let at = Timestamp::from_millis(7);
        let of = |user: &str, topics: &[&str]| {
            Identity::of(user, "acme", Vec::new(), topics.iter().map(ToString::to_string).collect(), at)
        };
        assert_eq!(of("ada", &["news"]).expect("usable").topics, ["news"]);
        for (user, topics) in [("", &[][..]), ("a\nb", &[]), (&"a".repeat(257), &[]), ("ada", &[""])] {
            assert_eq!(of(user, topics), None, "{user:?} {topics:?}");
        }
    }

    #[test]
    fn permissions_are_exact_names() {
        let permissions: Permissions = ["write", "read", "read"].into_iter().collect();
        assert!(permissions.contains(Permissions::READ));
        assert!(!permissions.contains("rea"));
        assert!(permissions.iter().eq(["read", "write"]));
    }
}
