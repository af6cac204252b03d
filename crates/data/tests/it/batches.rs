//! The order of items, and reading ahead of their use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use proptest::prelude::*;
use vdvae_data::{Batch, Batches, DataError, Dataset, ImageShape, ItemRng};

use crate::files::assert_says;

/// Items that hold their index and random bytes; one of them may be bad.
struct Numbers {
    len: usize,
    bad: Option<usize>,
    reads: AtomicUsize,
}

impl Numbers {
    fn new(len: usize) -> Arc<Self> {
        Arc::new(Self {
            len,
            bad: None,
            reads: AtomicUsize::new(0),
        })
    }
}

impl Dataset for Numbers {
    fn len(&self) -> usize {
        self.len
    }

    fn image(&self) -> ImageShape {
        ImageShape {
            size: 2,
            channels: 3,
        }
    }

    fn read(&self, index: usize, rng: &mut ItemRng, out: &mut [u8]) -> Result<(), DataError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.bad == Some(index) {
            return Err(DataError::Image {
                name: self.name(index),
                reason: "is bad".to_owned(),
            });
        }
        out[..8].copy_from_slice(&(index as u64).to_le_bytes());
        out[8..].fill_with(|| rng.below(256) as u8);
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        format!("number {index}")
    }
}

fn training(len: usize, batch: usize, seed: u64, first: u64, threads: usize) -> Batches {
    Batches::training(Numbers::new(len), batch, seed, first, threads).unwrap()
}

/// The first `count` images, whatever batches they come in.
fn images(batches: Batches, count: usize) -> Vec<Vec<u8>> {
    let batches = batches.map(Result::unwrap);
    let images = batches.flat_map(|batch| {
        batch
            .images
            .chunks_exact(12)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    });
    images.take(count).collect()
}

fn index(image: &[u8]) -> usize {
    u64::from_le_bytes(image[..8].try_into().unwrap()) as usize
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn training_from_a_position_on_is_the_tail_of_training_from_the_start(
        len in 1..40usize, seed: u64, first in 0..100u64, batches in (1..9usize, 1..9usize), threads in (1..5usize, 1..5usize)
    ) {
        let whole = images(training(len, batches.0, seed, 0, threads.0), first as usize + 60);
        let tail = images(training(len, batches.1, seed, first, threads.1), 60);
        prop_assert_eq!(&whole[first as usize..], &tail[..]);
    }

    #[test]
    fn every_epoch_visits_every_item_once(len in 1..50usize, seed: u64, epochs in 1..4usize) {
        for epoch in images(training(len, 7, seed, 0, 2), epochs * len).chunks(len) {
            let mut visited: Vec<usize> = epoch.iter().map(|image| index(image)).collect();
            visited.sort_unstable();
            prop_assert_eq!(visited, (0..len).collect::<Vec<_>>());
        }
    }

    #[test]
    fn sequential_batches_are_the_data_set_in_order(len in 1..50usize, batch in 1..60usize, threads in 1..5usize) {
        let batches = Batches::sequential(Numbers::new(len), batch, threads).unwrap();
        let batches: Vec<Batch> = batches.map(Result::unwrap).collect();
        prop_assert_eq!(batches.len(), len.div_ceil(batch));
        for (number, one) in batches.iter().enumerate() {
            prop_assert_eq!(one.first_position, (number * batch) as u64);
            prop_assert_eq!(one.len(), batch.min(len - number * batch));
            prop_assert_eq!(one.images.len(), one.len() * 12);
        }
        let indices: Vec<u64> = batches.iter().flat_map(|batch| batch.indices.clone()).collect();
        prop_assert_eq!(indices, (0..len as u64).collect::<Vec<_>>());
    }
}

#[test]
fn epochs_and_seeds_have_orders_of_their_own() {
    let order = |seed, epoch: usize| -> Vec<usize> {
        let all = images(training(100, 10, seed, 0, 1), 200);
        all[epoch * 100..(epoch + 1) * 100]
            .iter()
            .map(|image| index(image))
            .collect()
    };
    assert_ne!(order(1, 0), order(1, 1));
    assert_ne!(order(1, 0), order(2, 0));
    assert_eq!(order(1, 0), order(1, 0));
}

#[test]
fn batches_run_across_the_border_of_epochs() {
    let batches: Vec<Batch> = training(5, 4, 0, 0, 3)
        .take(5)
        .map(Result::unwrap)
        .collect();
    assert!(batches.iter().all(|batch| batch.len() == 4));
    assert_eq!(
        batches
            .iter()
            .map(|batch| batch.first_position)
            .collect::<Vec<_>>(),
        [0, 4, 8, 12, 16]
    );
    let mut visits = HashMap::new();
    for index in batches.iter().flat_map(|batch| &batch.indices) {
        *visits.entry(index).or_insert(0) += 1;
    }
    assert_eq!(visits.into_values().collect::<Vec<_>>(), [4; 5]);
}

#[test]
fn what_is_random_about_an_item_differs_from_epoch_to_epoch() {
    let all = images(training(1, 1, 0, 0, 1), 10);
    let mut random: Vec<&[u8]> = all.iter().map(|image| &image[8..]).collect();
    random.sort_unstable();
    random.dedup();
    assert_eq!(random.len(), 10);
}

#[test]
fn an_error_comes_in_its_place_and_ends_the_iterator() {
    for threads in 1..5 {
        let dataset = Arc::new(Numbers {
            bad: Some(13),
            ..Arc::into_inner(Numbers::new(100)).unwrap()
        });
        let mut batches = Batches::sequential(dataset, 4, threads).unwrap();
        let good: Vec<_> = batches.by_ref().take_while(Result::is_ok).collect();
        assert_eq!(good.len(), 3, "{threads} threads");
        assert!(batches.next().is_none());
        let dataset = Arc::new(Numbers {
            bad: Some(13),
            ..Arc::into_inner(Numbers::new(100)).unwrap()
        });
        let error = Batches::sequential(dataset, 4, threads)
            .unwrap()
            .find_map(Result::err)
            .unwrap();
        assert_eq!(error.to_string(), "number 13: is bad");
    }
}

#[test]
fn no_more_is_read_than_two_batches_a_thread_and_threads_end_with_the_iterator() {
    let dataset = Numbers::new(1000);
    let alive: Weak<Numbers> = Arc::downgrade(&dataset);
    let mut batches = Batches::training(dataset, 10, 0, 0, 3).unwrap();
    batches.next().unwrap().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    // One taken; each thread holds one finished batch and one that waits to be handed over.
    let reads = alive.upgrade().unwrap().reads.load(Ordering::Relaxed);
    assert!(reads <= 10 + 3 * 2 * 10, "{reads} items were read");
    drop(batches);
    assert!(
        alive.upgrade().is_none(),
        "a thread still holds the data set"
    );
}

#[test]
fn a_panic_in_a_data_set_is_not_the_end_of_the_data() {
    struct Panics;
    impl Dataset for Panics {
        fn len(&self) -> usize {
            10
        }
        fn image(&self) -> ImageShape {
            ImageShape {
                size: 1,
                channels: 1,
            }
        }
        fn read(&self, _: usize, _: &mut ItemRng, _: &mut [u8]) -> Result<(), DataError> {
            panic!("on purpose")
        }
        fn name(&self, _: usize) -> String {
            String::new()
        }
    }
    let mut batches = Batches::sequential(Arc::new(Panics), 1, 2).unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| batches.next().is_some()))
        .unwrap_err();
    assert_eq!(*panic.downcast::<&str>().unwrap(), "on purpose");
    assert!(batches.next().is_none());
}

#[test]
fn zeros_are_refused() {
    for (len, batch, threads, field) in [
        (5, 0, 1, "batch size"),
        (5, 1, 0, "threads"),
        (0, 1, 1, "images in the data set"),
    ] {
        let training = Batches::training(Numbers::new(len), batch, 0, 0, threads)
            .err()
            .unwrap();
        let sequential = Batches::sequential(Numbers::new(len), batch, threads)
            .err()
            .unwrap();
        for error in [training, sequential] {
            assert_says(&error.to_string(), &[field, "expected at least 1, found 0"]);
        }
    }
}

#[test]
fn chosen_items_make_a_batch() {
    let dataset = Numbers::new(10);
    let batch = Batch::read(&*dataset, &[7, 2]).unwrap();
    assert_eq!(batch.indices, [7, 2]);
    assert_eq!(
        batch.images.chunks_exact(12).map(index).collect::<Vec<_>>(),
        [7, 2]
    );
    let error = Batch::read(&*dataset, &[10]).unwrap_err();
    assert_says(&error.to_string(), &["found 10 of 10"]);
}
