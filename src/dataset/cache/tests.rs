use super::*;
use crate::error::Kind;

fn open(root: &tempfile::TempDir) -> FeatureCache {
    FeatureCache::open(Some(root.path().to_owned())).unwrap()
}

fn key(text: &str) -> Key {
    Key::new(blake3::hash(text.as_bytes()), "mel", "GPU")
}

fn put(cache: &FeatureCache, name: &str, values: &[f32]) {
    cache.put(key(name), values, Remarks::default()).unwrap();
}

fn values(cache: &FeatureCache, name: &str) -> Option<Vec<f32>> {
    cache.get(key(name)).map(|entry| entry.values)
}

fn change(path: &Path, content: &[u8], time: SystemTime) {
    fs::write(path, content).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn ago(age: Duration) -> SystemTime {
    SystemTime::now() - age
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn what_is_put_is_got_back_bit_for_bit() {
    let root = tempfile::tempdir().unwrap();
    let stored = [0.0f32, -0.0, 1.5e-42, f32::MAX, -80.0];
    put(&open(&root), "a", &stored);
    put(&open(&root), "empty", &[]);

    let cache = open(&root);
    let got: Vec<u32> = values(&cache, "a").unwrap().into_iter().map(f32::to_bits).collect();
    assert_eq!(got, stored.map(f32::to_bits));
    assert_eq!(values(&cache, "empty"), Some(vec![]));
    assert_eq!(cache.get(key("b")), None);
    for (recipe, device) in [("other", "GPU"), ("mel", "CPU"), ("melG", "PU"), ("me", "lGPU")] {
        assert_eq!(cache.get(Key::new(blake3::hash(b"a"), recipe, device)), None);
    }
}

#[test]
fn a_damaged_entry_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let cache = open(&root);
    let path = cache.entry(key("a"));
    put(&cache, "a", &[1.0, 2.0]);
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        for bad in [&flipped, &good[..at]] {
            fs::write(&path, bad).unwrap();
            assert_eq!(cache.get(key("a")), None, "byte {at}");
            assert!(!path.exists());
        }
    }
    put(&cache, "a", &[3.0]);
    assert_eq!(values(&cache, "a"), Some(vec![3.0]));
}

#[test]
fn an_entry_under_the_wrong_name_is_not_trusted() {
    let root = tempfile::tempdir().unwrap();
    let cache = open(&root);
    put(&cache, "a", &[1.0]);
    put(&cache, "b", &[2.0]);
    fs::copy(cache.entry(key("a")), cache.entry(key("b"))).unwrap();
    assert_eq!(cache.get(key("b")), None);
}

#[test]
fn writers_at_once_leave_whole_entries() {
    let root = tempfile::tempdir().unwrap();
    let arrays = [vec![1.0f32; 20_000], vec![2.0f32; 10_000]];
    std::thread::scope(|scope| {
        for array in &arrays {
            let (cache, arrays) = (open(&root), &arrays);
            scope.spawn(move || {
                for _ in 0..50 {
                    put(&cache, "a", array);
                    let seen = values(&cache, "a").unwrap();
                    assert!(arrays.contains(&seen));
                }
            });
        }
    });
    assert_eq!(fs::read_dir(open(&root).folder().join("new")).unwrap().count(), 0);
}

#[test]
fn size_and_clear_count_entries_only() {
    let root = tempfile::tempdir().unwrap();
    let song = root.path().join("song.wav");
    change(&song, b"abc", ago(MINUTE));
    let cache = open(&root);
    cache.content_hash(&song).unwrap();
    put(&cache, "a", &[1.0; 100]);
    put(&cache, "b", &[1.0; 50]);
    let bytes = 2 * entry::HEADER_BYTES as u64 + 600;
    assert_eq!(cache.size().unwrap(), CacheSize { entries: 2, bytes });

    cache.clear().unwrap();
    assert_eq!(cache.size().unwrap(), CacheSize { entries: 0, bytes: 0 });
    assert_eq!(cache.get(key("a")), None);
    put(&cache, "a", &[1.0]);
    assert!(song.exists() && cache.get(key("a")).is_some());
}

#[test]
fn shrinking_removes_the_oldest_first() {
    let root = tempfile::tempdir().unwrap();
    let cache = open(&root);
    for (name, age) in [("a", 3), ("b", 1), ("c", 2)] {
        put(&cache, name, &[1.0; 100]);
        let file = File::options().write(true).open(cache.entry(key(name))).unwrap();
        file.set_modified(ago(age * MINUTE)).unwrap();
    }
    let each = cache.size().unwrap().bytes / 3;
    cache.shrink(3 * each).unwrap();
    assert_eq!(cache.size().unwrap().entries, 3);
    cache.shrink(2 * each - 1).unwrap();
    assert!(cache.get(key("b")).is_some());
    assert_eq!(cache.size().unwrap().entries, 1);
    assert_eq!(cache.size().unwrap().to_string(), format!("1 clips, {each} bytes"));
    cache.shrink(0).unwrap();
    assert_eq!(cache.size().unwrap().entries, 0);
}

#[test]
fn an_unchanged_file_is_not_read_again() {
    let root = tempfile::tempdir().unwrap();
    let song = root.path().join("song.wav");
    let time = ago(MINUTE);
    change(&song, b"one", time);
    assert_eq!(open(&root).content_hash(&song).unwrap(), blake3::hash(b"one"));
    // Nothing but reading the file could tell this change.
    change(&song, b"two", time);
    assert_eq!(open(&root).content_hash(&song).unwrap(), blake3::hash(b"one"));
    change(&song, b"two", time + Duration::from_nanos(100));
    assert_eq!(open(&root).content_hash(&song).unwrap(), blake3::hash(b"two"));
    change(&song, b"four", time);
    assert_eq!(open(&root).content_hash(&song).unwrap(), blake3::hash(b"four"));
}

#[test]
fn a_file_that_is_still_being_changed_is_always_read() {
    let root = tempfile::tempdir().unwrap();
    let song = root.path().join("song.wav");
    let (cache, time) = (open(&root), SystemTime::now());
    for content in [b"one", b"two"] {
        change(&song, content, time);
        assert_eq!(cache.content_hash(&song).unwrap(), blake3::hash(content));
    }
}

#[test]
fn half_a_line_of_remembered_hashes_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let song = root.path().join("song.wav");
    change(&song, b"one", ago(MINUTE));
    let cache = open(&root);
    cache.content_hash(&song).unwrap();
    let text = fs::read(cache.contents_file()).unwrap();
    fs::write(cache.contents_file(), &text[..100]).unwrap();
    assert_eq!(open(&root).content_hash(&song).unwrap(), blake3::hash(b"one"));
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_that_says_what_to_set() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = FeatureCache::open(Some(file)).err().unwrap();
    assert_eq!(error.kind, Kind::Input);
    assert!(error.to_string().contains(CACHE_VARIABLE), "{error}");
}

/// Permissions would not stop an administrator, under whom tests may run; a file in the place of
/// the folder for new entries does.
fn read_only(root: &tempfile::TempDir) -> FeatureCache {
    let new = root.path().join("features/new");
    fs::remove_dir_all(&new).unwrap();
    fs::write(&new, b"").unwrap();
    open(root)
}

#[test]
fn a_cache_that_can_only_be_read_gives_what_it_has_and_keeps_the_rest_in_memory() {
    let root = tempfile::tempdir().unwrap();
    put(&open(&root), "a", &[1.0]);
    let cache = read_only(&root);
    assert_eq!(values(&cache, "a"), Some(vec![1.0]));
    assert_eq!(cache.unwritten(), None);

    put(&cache, "b", &[2.0]);
    put(&cache, "c", &[3.0]);
    assert_eq!(values(&cache, "b"), Some(vec![2.0]));
    let note = cache.unwritten().unwrap();
    assert!(note.contains("features of 2 clips") && note.contains(CACHE_VARIABLE), "{note}");
    assert_eq!(values(&open(&root), "b"), None);

    let most = vec![0.0; MEMORY / 4];
    let error = cache.put(key("d"), &most, Remarks::default()).unwrap_err().to_string();
    assert!(error.contains(CACHE_VARIABLE), "{error}");
}

#[test]
fn remarks_are_kept_with_the_values() {
    let root = tempfile::tempdir().unwrap();
    for bits in 0..8 {
        let [padded, truncated, damaged] = [1, 2, 4].map(|bit| bits & bit != 0);
        let remarks = Remarks { padded, truncated, damaged };
        open(&root).put(key("a"), &[1.0], remarks).unwrap();
        assert_eq!(open(&root).get(key("a")), Some(Entry { values: vec![1.0], remarks }));
    }
}

#[test]
fn what_a_killed_process_left_is_swept_away() {
    let root = tempfile::tempdir().unwrap();
    let cache = open(&root);
    let [old, fresh] = ["old", "fresh"].map(|name| cache.folder().join("new").join(name));
    change(&old, b"half", ago(ABANDONED * 2));
    change(&fresh, b"half", ago(MINUTE));
    open(&root);
    assert!(!old.exists() && fresh.exists());
}
