use tokio::time::advance;

use super::*;

/// Runs `act` within a handshake that shows this certificate.
async fn with<T>(certificate: &[u8], act: impl FnOnce() -> T) -> T {
    bound(async {
        note_certificate(certificate);
        act()
    })
    .await
}

#[tokio::test]
async fn a_ticket_opens_for_its_certificate_only() {
    let tickets = Tickets::default();
    let ticket = with(b"one", || tickets.encrypt(b"session")).await.unwrap();
    assert_eq!(with(b"one", || tickets.decrypt(&ticket)).await.unwrap(), b"session");
    assert_eq!(with(b"two", || tickets.decrypt(&ticket)).await, None);
    assert_eq!(tickets.decrypt(&ticket), None);
    assert_eq!(tickets.encrypt(b"session"), None);
}

#[tokio::test]
async fn a_changed_or_cut_ticket_does_not_open() {
    let tickets = Tickets::default();
    let ticket = with(b"one", || tickets.encrypt(b"session")).await.unwrap();
    for at in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[at] ^= 1;
        assert_eq!(with(b"one", || tickets.decrypt(&changed)).await, None, "{at}");
        assert_eq!(with(b"one", || tickets.decrypt(&ticket[..at])).await, None, "{at}");
    }
    let long = [ticket, vec![0; LONGEST_TICKET]].concat();
    assert_eq!(with(b"one", || tickets.decrypt(&long)).await, None);
}

#[tokio::test(start_paused = true)]
async fn keys_rotate_and_old_ones_are_wiped() {
    let tickets = Tickets::default();
    let first = with(b"one", || tickets.encrypt(b"first")).await.unwrap();
    advance(ROTATION).await;
    let second = with(b"one", || tickets.encrypt(b"second")).await.unwrap();
    assert_ne!(first[..NAME], second[..NAME]);
    assert!(with(b"one", || tickets.decrypt(&first)).await.is_some(), "an old ticket opens for a while");
    advance(LIFETIME - ROTATION).await;
    assert_eq!(with(b"one", || tickets.decrypt(&first)).await, None);
    for _ in 0..100 {
        with(b"one", || tickets.encrypt(b"more")).await.unwrap();
        advance(ROTATION).await;
        assert!(tickets.keys.read().len() <= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_successor_opens_tickets_and_keeps_to_their_time() {
    advance(LIFETIME * 2).await;
    let old = Tickets::default();
    let ticket = with(b"one", || old.encrypt(b"session")).await.unwrap();
    advance(ROTATION / 2).await;
    let new = Tickets::import(&old.export());
    assert_eq!(with(b"one", || new.decrypt(&ticket)).await.unwrap(), b"session");
    assert_eq!(with(b"one", || new.encrypt(b"x")).await.unwrap()[..NAME], ticket[..NAME]);
    advance(ROTATION / 2).await;
    assert_ne!(with(b"one", || new.encrypt(b"x")).await.unwrap()[..NAME], ticket[..NAME]);
    advance(LIFETIME - ROTATION).await;
    assert_eq!(with(b"one", || new.decrypt(&ticket)).await, None);
    assert!(Tickets::import(b"no keys").keys.read().is_empty());
}
