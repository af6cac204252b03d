//! The classes of CIFAR-10 and CIFAR-100, in the order of their labels (Krizhevsky, 2009; `batches.meta` and `meta`).

use super::{Flavour, IMAGE, Release};
use crate::classes::Numbers;
use crate::error::DataError;
use crate::options::OpenOptions;
use crate::pickled;

/// Of CIFAR-10.
pub(crate) const CIFAR10: &str = "airplane automobile bird cat deer dog frog horse ship truck";

/// Of CIFAR-100, the fine ones.
pub(crate) const CIFAR100: &str = "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy \
    bridge bus butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab \
    crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp \
    lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange \
    orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray \
    road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower \
    sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale \
    willow_tree wolf woman worm";

/// The names, one by one.
pub(crate) fn names(all: &str) -> Vec<String> {
    all.split_whitespace().map(str::to_owned).collect()
}

impl Release {
    /// For each label the number of its class, where classes are told apart.
    pub fn numbers(
        &self,
        options: &OpenOptions,
        place: &str,
    ) -> Result<Option<Vec<usize>>, DataError> {
        if options.classes.is_empty() {
            return Ok(None);
        }
        let numbers = Numbers::new(options.classes);
        let own = names(self.classes);
        let all: Result<_, _> = own.iter().map(|name| numbers.of(name, place)).collect();
        all.map(Some)
    }

    /// The labels of a batch whose images have been read.
    pub fn read_labels(
        &self,
        flavour: Flavour,
        bytes: &[u8],
        images: usize,
        place: &str,
    ) -> Result<Vec<u8>, DataError> {
        let classes = names(self.classes).len();
        let remedy = format!("This is no batch of {}: download it again", self.name);
        if flavour == Flavour::Python {
            return pickled::labels(bytes, self.label_key, [images, classes], place, &remedy);
        }
        let records = bytes.chunks_exact(self.labels + IMAGE);
        let labels: Vec<u8> = records.map(|record| record[self.labels - 1]).collect();
        match labels.iter().find(|&&label| usize::from(label) >= classes) {
            None => Ok(labels),
            Some(label) => {
                let expected = format!("numbers below {classes}");
                Err(DataError::mismatch(
                    place, "labels", expected, label, remedy,
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_in_the_order_of_the_alphabet() {
        for (names, count) in [(CIFAR10, 10), (CIFAR100, 100)] {
            let names = super::names(names);
            assert_eq!(names.len(), count);
            assert!(names.is_sorted());
        }
    }
}
