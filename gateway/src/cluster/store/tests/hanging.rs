//! Tests with a disk that does not answer.

use super::*;

#[test]
fn updates_are_taken_while_an_append_does_not_return() {
    let mut disk = Disk::new();
    let update = disk.source.update(Mode::Delta, b"{}");
    disk.queue.store(update, false, disk.now);
    let (log, updates) = disk.queue.next_append(disk.now).unwrap();
    // The append has not returned: no other thread uses the file, and updates are accepted.
    for _ in 0..3 {
        let update = disk.source.update(Mode::Delta, b"{}");
        disk.queue.store(update, false, disk.now);
        assert!(disk.queue.is_appending(disk.now));
        assert!(disk.queue.next_append(disk.now).is_none());
        assert!(matches!(disk.queue.next(disk.now), Next::Wait(_)));
    }
    disk.carry_out(Job::Append(log, updates));
    disk.work();
    assert_eq!(disk.on_disk(), [1, 2, 3, 4, 5]);
}

#[test]
fn end_of_the_writer_is_bounded_and_it_can_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer();
    let (release, hangs) = std::sync::mpsc::channel::<()>();
    writer.spawn("hanging", move || {
        hangs.recv().ok();
    });
    writer.start(Cache::open(dir.path()).unwrap(), InitialState::Empty);
    let begun = std::time::SystemTime::now();
    writer.finish();
    assert!(begun.elapsed().unwrap() < 2 * END_WAITS);
    assert!(!writer.has_ended(), "the folder is not left");
    drop(release);
    while !writer.has_ended() {
        thread::sleep(Duration::from_millis(2));
    }
    assert!(!writer.resume(), "a writer that has ended is made again");
}
