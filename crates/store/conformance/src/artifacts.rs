//! Files that requests made.

use bytes::Bytes;
use streamer_engine::store::{Artifact, ArtifactId, ErrorKind, NewArtifact, SharedStore};
use streamer_protocol::{TenantId, UserId};
use tokio::io::AsyncReadExt;

use crate::given::*;

fn id(n: u8) -> ArtifactId {
    ArtifactId::parse(&format!("{n:032x}")).expect("32 digits")
}

fn report(n: u8) -> NewArtifact {
    NewArtifact {
        id: id(n),
        tenant: TenantId::new("acme"),
        user: UserId::new("ada"),
        name: "../Bericht für 2026.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        created_at: at(1),
        expires_at: at(100),
        bytes: Bytes::from_static(b"%PDF-1.7 ..."),
    }
}

async fn read(store: &SharedStore, tenant: &str, user: &str, n: u8) -> Option<(Artifact, Vec<u8>)> {
    let found = store.artifact(&TenantId::new(tenant), &UserId::new(user), &id(n)).await.expect("answers");
    let (artifact, mut body) = found?;
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).await.expect("reads");
    Some((artifact, bytes))
}

async fn keep(store: &SharedStore, new: &NewArtifact) -> Artifact {
    store.keep(new.clone(), &PLENTY).await.expect("keeps")
}

/// What comes back is what went in.
pub async fn are_read_by_their_owner(store: SharedStore) {
    let wanted = report(1);
    let kept = keep(&store, &wanted).await;
    assert_eq!((&kept.id, &kept.name, &kept.media_type), (&wanted.id, &wanted.name, &wanted.media_type));
    assert_eq!((kept.size, kept.created_at, kept.expires_at), (12, at(1), at(100)));
    assert_eq!(read(&store, "acme", "ada", 1).await, Some((kept, wanted.bytes.to_vec())));
}

/// Another user, another tenant, another id: nothing is there.
pub async fn are_nobody_elses(store: SharedStore) {
    keep(&store, &report(1)).await;
    for (tenant, user, n) in
        [("acme", "bob", 1), ("other", "ada", 1), ("acme:ada", "", 1), ("acme", "ada", 2)]
    {
        assert_eq!(read(&store, tenant, user, n).await, None, "{tenant:?} {user:?} {n}");
    }
}

/// A caller that missed the reply says the same again.
pub async fn keep_is_safe_to_repeat(store: SharedStore) {
    let first = keep(&store, &report(1)).await;
    assert_eq!(keep(&store, &report(1)).await, first);
    assert_eq!(read(&store, "acme", "ada", 1).await, Some((first, report(1).bytes.to_vec())));
}

/// A taken id stays with its owner and its bytes.
pub async fn an_id_is_never_given_twice(store: SharedStore) {
    let first = keep(&store, &report(1)).await;
    let theirs = NewArtifact { user: UserId::new("bob"), ..report(1) };
    let another = NewArtifact { bytes: Bytes::from_static(b"else"), ..report(1) };
    for taken in [theirs, another] {
        assert_eq!(refusal(store.keep(taken, &PLENTY).await), ErrorKind::Conflict);
    }
    assert_eq!(read(&store, "acme", "ada", 1).await, Some((first, report(1).bytes.to_vec())));
    assert_eq!(read(&store, "acme", "bob", 1).await, None);
}

/// Nothing, and some megabytes.
pub async fn may_be_large_or_empty(store: SharedStore) {
    let large: Vec<u8> = (0..5_000_003_u32).map(|n| (n % 251) as u8).collect();
    for (n, bytes) in [(1, Bytes::new()), (2, Bytes::from(large))] {
        let kept = keep(&store, &NewArtifact { bytes: bytes.clone(), ..report(n) }).await;
        assert_eq!(kept.size, bytes.len() as u64);
        let (_, read) = read(&store, "acme", "ada", n).await.expect("is there");
        assert!(read == bytes, "the bytes of {n} differ");
    }
}

/// At most so many at a time, and only the expired.
pub async fn are_purged_when_expired(store: SharedStore) {
    for n in 1..=4 {
        let expires_at = if n == 4 { at(101) } else { at(100) };
        keep(&store, &NewArtifact { expires_at, ..report(n) }).await;
    }
    for (now, expected) in [(99, 0), (100, 2), (100, 1), (100, 0)] {
        assert_eq!(store.purge_artifacts(at(now), 2).await.expect("purges"), expected, "at {now}");
    }
    for n in 1..=3 {
        assert_eq!(read(&store, "acme", "ada", n).await, None);
    }
    assert!(read(&store, "acme", "ada", 4).await.is_some());
}
