//! Runs for days on the clock: nothing spins, nothing grows.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn idle_days_cost_a_look_every_few_seconds() {
    let mut disk = Disk::new();
    let before = disk.turns;
    disk.pass(3 * DAY);
    let turns = disk.turns - before;
    // A check each 5 s, and once an hour one for old files.
    assert!((50_000..53_000).contains(&turns), "{turns}");
    assert_eq!(disk.errors, 0);
}

#[test]
fn days_of_a_full_disk_cost_two_attempts_each_half_minute() {
    let mut disk = Disk::new();
    disk.refuses = |job| matches!(job, Job::Append(..) | Job::Rewrite(_));
    disk.store(Mode::Delta, 10);
    let before = disk.errors;
    disk.pass(DAY);
    // An append and a new file: each every 30 s in the end.
    let attempts = disk.errors - before;
    assert!((5_700..5_900).contains(&attempts), "{attempts}");
    disk.refuses = |_| false;
    disk.pass(Duration::from_secs(31));
    assert_eq!(disk.on_disk().last(), Some(&2));
}

/// The control plane is away when the disk needs its snapshot.
#[test]
fn days_of_waiting_for_a_snapshot_cost_no_more_than_idle_ones() {
    let mut disk = Disk::new();
    std::fs::write(disk.dir.path().join("config.log"), "").unwrap();
    disk.pass(Duration::from_secs(20));
    assert!(disk.queue.wants_snapshot());
    let before = disk.turns;
    disk.pass(DAY);
    let turns = disk.turns - before;
    assert!(turns < 18_000, "{turns}");
}

/// Ten thousand changes of one entity: the file is bounded by the resulting configuration, not by the number
/// of changes.
#[test]
fn files_stay_bounded_over_many_changes() {
    let mut disk = Disk::new();
    let key = model::Route::key(uuid::Uuid::from_u128(1));
    let mut longest = 0;
    for change in 0..10_500_u32 {
        let value = noise(1000 + change as usize % 7);
        let update = disk.source.put(Mode::Delta, key, Some(&value));
        disk.hand_over(update, false);
        disk.work();
        if change % 100 == 0 {
            let files = std::fs::read_dir(disk.dir.path()).unwrap().flatten();
            longest = longest.max(files.map(|file| file.metadata().unwrap().len()).sum());
        }
    }
    // A megabyte of deltas in each of two files, and two changes.
    assert!(longest < (2 << 20) + 10_000, "{longest} bytes");
    assert_eq!(disk.on_disk().last(), Some(&disk.source.position().revision));
    assert_eq!(disk.errors, 0);
}
